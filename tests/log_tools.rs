//! The tools for logs and snapshots, as programs: beside those of stock, and on copies of the fixtures.

#![expect(clippy::unwrap_used, reason = "a test: what cannot fail may panic")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MANIFEST: &str = "appendonlydir/appendonly.aof.manifest";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/log").join(name)
}

/// A copy of a fixture that a test may change.
fn copy(name: &str) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    for inside in ["", "appendonlydir"] {
        let Ok(entries) = std::fs::read_dir(fixture(name).join(inside)) else { continue };
        std::fs::create_dir_all(target.path().join(inside)).unwrap();
        for entry in entries.map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            let to = target.path().join(inside).join(entry.file_name());
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
    target
}

fn highwater(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(words);
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run(words: &[&str], path: &Path) -> (bool, String) {
    let output = highwater(words).arg(path).output().unwrap();
    (output.status.success(), text(&output))
}

fn answer_yes(mut command: Command) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"y\n").unwrap();
    child.wait_with_output().unwrap()
}

/// The stock program; a test that needs it says what is missing.
fn stock(program: &str) -> Command {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(
        found,
        "{program} is not installed: this test needs Debian's redis-server and redis-tools"
    );
    Command::new(program)
}

#[test]
fn good_files_are_described_as_stock_describes_them() {
    // With comment lines the number of good lines would differ: stock leaves them out.
    for name in ["stock_rdb_base", "stock_resp_base"] {
        let manifest = fixture(name).join(MANIFEST);
        let theirs = stock("redis-check-aof").arg(&manifest).output().unwrap();
        assert_eq!(run(&["check", "aof"], &manifest), (true, text(&theirs)), "{name}");
    }
    let single = fixture("old_single_file").join("appendonly.aof");
    let theirs = stock("redis-check-aof").arg(&single).output().unwrap();
    assert_eq!(run(&["check", "aof"], &single), (true, text(&theirs)));
    let snapshot = fixture("stock_rdb_base").join("appendonlydir/appendonly.aof.2.base.rdb");
    let theirs = stock("redis-check-rdb").arg(&snapshot).output().unwrap();
    assert_eq!(run(&["check", "rdb"], &snapshot), (true, text(&theirs)));
}

#[test]
fn a_cut_tail_is_repaired_on_request() {
    for name in ["tail_cut", "stock_rdb_base"] {
        let folder = copy(name);
        let incr = folder.path().join("appendonlydir/appendonly.aof.2.incr.aof");
        let bytes = std::fs::read(&incr).unwrap();
        std::fs::write(&incr, &bytes[..bytes.len() - 3]).unwrap();
        let manifest = folder.path().join(MANIFEST);
        let (good, said) = run(&["check", "aof"], &manifest);
        assert!(
            !good && said.contains("is not valid. Use the --fix option to try fixing it."),
            "{said}"
        );
        assert_eq!(std::fs::read(&incr).unwrap().len(), bytes.len() - 3, "nothing was changed");
        let mut fix = highwater(&["check", "aof", "--fix"]);
        fix.arg(&manifest);
        let said = text(&answer_yes(fix));
        assert!(said.contains("Successfully truncated AOF appendonly.aof.2.incr.aof"), "{said}");
        assert!(run(&["check", "aof"], &manifest).0);
        assert!(run(&["log", "verify"], folder.path()).0);
        assert!(stock("redis-check-aof").arg(&manifest).output().unwrap().status.success());
    }
}

#[test]
fn damage_below_a_sync_is_given_up_on_request_only() {
    let folder = copy("tail_cut");
    let incr = folder.path().join("appendonlydir/appendonly.aof.1.incr.aof");
    let mut bytes = std::fs::read(&incr).unwrap();
    bytes[310] ^= 1;
    std::fs::write(&incr, &bytes).unwrap();
    let refused = highwater(&["log", "verify"]).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("damage to synced data"), "{said}");
    let mut fix = highwater(&["check", "aof", "--fix"]);
    fix.arg(folder.path().join(MANIFEST));
    let fixed = answer_yes(fix);
    assert!(fixed.status.success(), "{}", text(&fixed));
    let (good, said) = run(&["log", "verify"], folder.path());
    assert!(good && said.contains("resuming at offset 50"), "{said}");
}

#[test]
fn a_log_is_cut_at_a_time() {
    let folder = copy("stock_timestamps");
    let manifest = folder.path().join(MANIFEST);
    let mut incr = std::fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join("appendonlydir/appendonly.aof.1.incr.aof"))
        .unwrap();
    incr.write_all(b"#TS:4000000000\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n").unwrap();
    let target = folder.path().join("copy");
    let mut cut = highwater(&["log", "cut", "--time", "3999999999"]);
    assert!(cut.args([folder.path(), &target]).status().unwrap().success());
    assert!(!run(&["log", "cat"], &target).1.contains("DEL"));
    let (good, said) = run(&["check", "aof", "--truncate-to-timestamp", "3999999999"], &manifest);
    assert!(
        good && said.contains(
            "Successfully truncated AOF appendonly.aof.1.incr.aof to timestamp 3999999999"
        )
    );
    assert!(!run(&["log", "cat"], folder.path()).1.contains("DEL"));
    let (good, said) = run(&["check", "aof", "--truncate-to-timestamp", "100"], &manifest);
    assert!(!good && said.contains("has nothing before timestamp 100, aborting..."), "{said}");
}

#[test]
fn the_time_of_a_cut_can_be_written_as_a_date() {
    let folder = copy("stock_timestamps");
    let mut incr = std::fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join("appendonlydir/appendonly.aof.1.incr.aof"))
        .unwrap();
    // 2096-10-02 07:06:40 in UTC.
    incr.write_all(b"#TS:4000000000\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n").unwrap();
    let cut = |time: &str, name: &str| {
        let mut cut = highwater(&["log", "cut", "--time", time]);
        // A zone that needs no table: five hours west of UTC.
        cut.env("TZ", "XYZ5").args([folder.path(), &folder.path().join(name)]).output().unwrap()
    };
    for (index, (time, whole)) in [
        ("2096-10-02T07:06:40Z", true),
        ("2096-10-02T07:06:39Z", false),
        ("2096-10-02 02:06:40", true),
        ("2096-10-02 02:06:39", false),
        ("2096-10-02 09:06:39+02:00", false),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("copy {index}");
        assert!(cut(time, &name).status.success(), "{time}");
        let said = run(&["log", "cat"], &folder.path().join(name)).1;
        assert_eq!(said.contains("DEL"), whole, "{time}");
    }
    let refused = cut("2096-10-02", "none");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("the time of day is missing"), "{said}");
}

#[test]
fn a_copy_up_to_an_offset_is_a_log_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for (asked, end) in
        [(22, 0), (23, 23), (49, 23), (50, 50), (126, 50), (127, 127), (215, 201), (240, 240)]
    {
        let target = folder.path().join(asked.to_string());
        let source = copy("tail_cut");
        let incr = source.path().join("appendonlydir/appendonly.aof.2.incr.aof");
        let bytes = std::fs::read(&incr).unwrap();
        std::fs::write(&incr, &bytes[..197]).unwrap();
        let mut cut = highwater(&["log", "cut", "--offset", &asked.to_string()]);
        let output = cut.args([source.path(), &target]).output().unwrap();
        let said = text(&output);
        assert!(said.contains(&format!("resuming at offset {end} ")), "{asked}: {output:?}");
        assert!(run(&["log", "verify"], &target).0, "{asked}");
    }
}

fn said_on_stderr(words: &[&str], paths: &[&Path]) -> String {
    let output = highwater(words).args(paths).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_verify_reads_the_snapshot_too() {
    let folder = copy("stock_rdb_base");
    assert!(run(&["log", "verify"], folder.path()).0);
    let base = folder.path().join("appendonlydir/appendonly.aof.2.base.rdb");
    let mut bytes = std::fs::read(&base).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&base, &bytes).unwrap();
    let said = said_on_stderr(&["log", "verify"], &[folder.path()]);
    assert!(
        said.contains("appendonly.aof.2.base.rdb") && said.contains("would not start"),
        "{said}"
    );
}

#[test]
fn a_cut_that_fails_leaves_nothing_behind() {
    let folder = copy("stock_rdb_base");
    let target = folder.path().join("copy");
    let said = said_on_stderr(&["log", "cut", "--time", "5"], &[folder.path(), &target]);
    assert!(said.contains("has no time stamps") && !target.exists(), "{said}");
    let incr = folder.path().join("appendonlydir/appendonly.aof.2.incr.aof");
    std::fs::write(&incr, b"*1\r\n$1\r\nx").unwrap();
    let said = said_on_stderr(&["log", "cut", "--offset", "1000"], &[folder.path(), &target]);
    assert!(said.contains("cut short") && !target.exists(), "{said}");
}

#[test]
fn a_check_takes_a_folder_and_refuses_an_empty_manifest() {
    let folder = copy("stock_rdb_base");
    let manifest = folder.path().join(MANIFEST);
    assert_eq!(run(&["check", "aof"], folder.path()), run(&["check", "aof"], &manifest));
    std::fs::write(&manifest, b"").unwrap();
    let (good, said) = run(&["check", "aof"], &manifest);
    assert!(!good && said.ends_with("Found an empty AOF manifest\n"), "{said}");
}

#[test]
fn every_tool_has_a_help() {
    for words in [&["check"][..], &["check", "aof"], &["check", "rdb"], &["log"], &["log", "cut"]] {
        let (good, said) = run(words, Path::new("--help"));
        assert!(good && said.contains("Usage: highwater "), "{words:?}: {said}");
    }
}

#[test]
fn statistics_count_commands_and_keys() {
    let output = highwater(&["log", "stat", "--json"]).arg(fixture("tail_cut")).output().unwrap();
    let stat: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stat["commands"]["set"]["count"], 2);
    assert_eq!((stat["units"].as_u64(), stat["stream_bytes"].as_u64()), (Some(7), Some(240)));
    assert_eq!((stat["keys"].as_u64(), stat["slots"].as_u64()), (Some(3), Some(3)));
    assert_eq!(stat["first_time"], 1_700_000_000);
    assert!(stat["stopped"].as_str().unwrap().contains("cut short"));
}
