//! The demo as a newcomer runs it: it ends well, and what it says happened did.

use std::process::Command;

#[test]
fn every_step_happens() {
    let done = Command::new(env!("CARGO_BIN_EXE_tsugite"))
        .arg("demo")
        .output()
        .expect("the demo starts");
    let said = String::from_utf8_lossy(&done.stdout);
    let complained = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}\n{said}\n{complained}", done.status);
    for expected in [
        "grpc-status 0",
        "Aiko Tanaka",
        "urn:tsugite:problem:circuit-open",
        "\"customer\":null",
        "Recovered",
        "\"order\":\"order-2\"",
        "Every step happened.",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing:\n{said}");
    }
}

#[test]
fn two_demos_do_not_disturb_each_other() {
    let start = || Command::new(env!("CARGO_BIN_EXE_tsugite")).arg("demo").output();
    let other = std::thread::spawn(start);
    let mine = start().expect("the demo starts");
    let other = other.join().expect("no panic").expect("the demo starts");
    for done in [mine, other] {
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}
