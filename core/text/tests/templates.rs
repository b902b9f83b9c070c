//! Chat templates that would take more time or memory than there is.

use athanor_store::Kind;
use athanor_text::{ChatTemplate, Message};
use peak_alloc::PeakAlloc;
use serde_json::Map;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn templates_without_end_are_refused() {
    let compile = |source: &str| ChatTemplate::compile(source, Map::new());
    let doubled = |step: &str| {
        format!("{{% set ns = namespace(s='ab') %}}{{% for i in range(99) %}}{step}{{% endfor %}}")
    };
    let long = |used: &str| {
        format!("{{% set s = 'ab' * 100000 %}}{{% set l = [[s] * 1000] * 1000 %}}{{{{ {used} }}}}")
    };
    for source in [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}".into(),
        doubled("{% set ns.s = ns.s ~ ns.s %}"),
        doubled("{% set ns.s = ns.s.replace('a', ns.s) %}"),
        doubled("{% set ns.s = ns.s | replace('a', ns.s) %}"),
        doubled("{% set x %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = x %}"),
        long("''.join(l)"),
        long("''.join([s] * 100000)"),
        long("([s] * 100000) | join"),
        long("l | join"),
        long("l"),
        long("l | tojson"),
        "{{ messages | tojson(indent=1000000000) }}".into(),
        "{{ range(1000000000) }}".into(),
        "{{ 'a' * 1000000000000 }}".into(),
        "{{ '%1000000000d' | format(1) }}".into(),
        "{{ '{:1000000000}'.format(1) }}".into(),
        "{{ 'a' | indent(1000000000) }}{{ 'a' | center(1000000000) }}".into(),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".into(),
        "{{ 10 ** 10 ** 10 ** 10 }}".into(),
    ] {
        MEMORY.reset_peak_usage();
        println!("{source}");
        let rendered = compile(&source).and_then(|t| t.render(&[Message::user("x")], false));
        let taken = MEMORY.peak_usage();
        println!("    {} MiB, {:?}", taken >> 20, rendered.as_ref().map(String::len));
        assert!(taken < 1 << 30, "{source}: {taken} bytes");
        assert!(rendered.is_err(), "{source}: {} bytes", rendered.unwrap().len());
    }
    // The fuzzer found this one: an end that overlaps its beginning.
    assert!(compile("{%}{% if x %}").is_err());
    assert_eq!(compile("{%").unwrap_err().kind(), Kind::Input);
}
