//! One binary, several programs; what they print and return.

use super::{run, run_with_input, text};

#[test]
fn version_is_told_by_both_names() {
    let own = run("highwater", &["--version"]);
    assert!(text(&own.stdout).starts_with("highwater "));
    for flag in ["-v", "--version"] {
        let stock = run("/usr/bin/redis-server", &[flag]);
        assert!(stock.status.success());
        assert!(text(&stock.stdout).starts_with("Redis server v=7.2.4 sha="));
    }
}

#[test]
fn help_is_told_to_who_asks() {
    for (name, arguments) in [
        ("highwater", &["--help"][..]),
        ("highwater", &["server", "--help"]),
        ("redis-server", &["-h"]),
    ] {
        let output = run(name, arguments);
        assert!(output.status.success(), "{name} {arguments:?}");
        assert!(text(&output.stdout).contains("Usage:"), "{name} {arguments:?}");
    }
}

#[test]
fn missing_programs_say_so() {
    let check = |name: &str, arguments: &[&str]| {
        let output = run(name, arguments);
        assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}");
        assert!(text(&output.stderr).contains("not part of this version"), "{name}");
    };
    check("redis-sentinel", &["sentinel.conf"]);
    check("redis-server", &["sentinel.conf", "--sentinel"]);
}

#[test]
fn wrong_line_stops_the_start_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.conf");
    std::fs::write(&path, "port 7000\nappendfsync sometimes\n").unwrap();
    let output = run("redis-server", &[path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        format!(
            "\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\n\
             Reading the configuration file, at line 2\n\
             >>> 'appendfsync sometimes'\n\
             argument(s) must be one of the following: everysec, always, no\n\
             (in {})\n",
            path.display()
        )
    );
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn wrong_line_of_standard_input_is_told_too() {
    let output = run_with_input("redis-server", &["-"], "timeout 1\nport x\n");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("at line 2") && error.contains("(in standard input)"), "{error}");
}

#[test]
fn missing_file_is_named() {
    let output = run("redis-server", &["/no/such/file.conf"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "Fatal error, can't open config file '/no/such/file.conf': No such file or directory\n"
    );
}

#[test]
fn settings_that_would_be_ignored_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    for setting in
        [&["--tls-port", "7001"][..], &["--loadmodule", "/x.so"], &["--user", "alice on nopass"]]
    {
        let mut arguments = vec!["--dir", dir, "--port", "0"];
        arguments.extend(setting);
        let output = run("redis-server", &arguments);
        assert_eq!(output.status.code(), Some(1), "{setting:?}");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(
            said.contains("is not part of this version") || said.contains("are not supported"),
            "{said}"
        );
    }
}

#[test]
fn memory_can_be_tested() {
    let output = run("redis-server", &["--test-memory", "2"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("passed"));
    for wrong in ["x", "0", "-1", "99999999999"] {
        assert!(!run("redis-server", &["--test-memory", wrong]).status.success(), "{wrong}");
    }
}
