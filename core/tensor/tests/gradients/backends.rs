//! The backends that these tests run on. This program tests one, which `ATHANOR_BACKEND` names; [`every_backend`]
//! runs it again for each of the others.

use std::{env, process::Command, sync::LazyLock};

use athanor_tensor::Device;

use crate::counting;

type Named = (&'static str, fn() -> Device);

/// Each with its name; the first without the variable. Another backend is a file beside this one and a line here.
const BACKENDS: &[Named] = &[("cpu", || Device::Cpu), ("counting", counting::device)];

const VARIABLE: &str = "ATHANOR_BACKEND";

/// The device that is tested.
pub fn device() -> Device {
    static DEVICE: LazyLock<Device> = LazyLock::new(|| {
        let name = env::var(VARIABLE).unwrap_or_else(|_| BACKENDS[0].0.into());
        let found = BACKENDS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("{VARIABLE}={name}: no such backend")).1()
    });
    *DEVICE
}

/// All tests but those at random sizes, on the other backends.
#[test]
fn every_backend() {
    if env::var_os(VARIABLE).is_some() {
        return;
    }
    let program = env::current_exe().unwrap();
    for (name, _) in &BACKENDS[1..] {
        let mut command = Command::new(&program);
        let done = command.args(["--skip", "random::"]).env(VARIABLE, name).output().unwrap();
        let output = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{name}: {output}");
        assert!(output.contains("attention::packed ... ok"), "{name}: {output}");
    }
}
