//! Runs the stages of a plan.

use athanor_store::{Error, Result, Run, StageKind};
use athanor_tensor::Device;

use crate::{plan::Plan, session::Session};

/// Runs the plan's stages, or only those given. Each skips itself when it is done and goes on where
/// it was cut off; the report is written anew after each.
///
/// # Errors
/// Those of the first stage that fails; interrupted, if the session asks to stop.
pub fn run(session: &Session, plan: Plan, only: Option<&StageKind>) -> Result<()> {
    let Plan { recipe, run, out, stages, resolved, force, task } = plan;
    if let Some(only) = only
        && !stages.iter().any(|s| s.name == only.name)
    {
        return Err(Error::input(format!("the recipe has no section [{}]", only.name))
            .at(recipe.name())
            .hint(format!("`athanor recipe {}` shows its keys", only.name)));
    }
    let stages: Vec<&StageKind> =
        stages.into_iter().filter(|s| only.is_none_or(|o| o.name == s.name)).collect();
    // Before anything is written, and not after hours of work on the stages before.
    stages.iter().try_for_each(|stage| (stage.check_files)(&recipe, &out))?;
    session.set_threads(run.threads);
    let (console, interrupt) = (session.console.clone(), session.interrupt.clone());
    // The processor has no name in a stage's fingerprint.
    let device = (run.device()? != Device::default()).then(|| run.device.clone());
    let run = Run::open_as(&out, recipe, run.seed, console, interrupt, force, task)?.on(device);
    run.write_recipe(&resolved)?;
    for stage in stages {
        if session.interrupt.is_set() {
            return Err(Error::interrupted(format!("stopped before {}", stage.name))
                .hint("the same command goes on from there"));
        }
        let result = (stage.run)(&run);
        // The report of a stage that failed says how far it came.
        if let Err(e) = athanor_report::write_report(&run.dir) {
            session.console.warn(&format!("the report could not be written: {e}"));
        }
        result?;
    }
    Ok(())
}
