//! The crate graph: an arrow may only point down, and only where the table allows it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::Problem;

/// Each crate of ours and the crates of ours that it may use. A crate that is not listed may not exist:
/// adding one is a decision, and so is an arrow.
const ARROWS: &[(&str, &[&str])] = &[
    // Floor 0: vocabulary.
    ("tsugite-base", &[]),
    // Floor 0: the language of filter policies. It knows neither queues nor topics.
    ("tsugite-filter", &[]),
    // Floor 1, domain: pure machines. Never wire, never one another.
    ("tsugite-broker", &["tsugite-base", "tsugite-filter"]),
    ("tsugite-registry", &["tsugite-base"]),
    ("tsugite-traffic", &["tsugite-base"]),
    // Floor 1, wire: codecs. Never domain, never one another.
    ("tsugite-aws", &["tsugite-base"]),
    ("tsugite-discovery", &["tsugite-base"]),
    ("tsugite-grpc", &["tsugite-base"]),
    // Floor 2: what a store must be able to do.
    (
        "tsugite-engine",
        &["tsugite-base", "tsugite-broker", "tsugite-registry"],
    ),
    // Floor 3: shells. The gateway watches snapshots and never sees broker or registry.
    (
        "tsugite-log",
        &[
            "tsugite-base",
            "tsugite-broker",
            "tsugite-registry",
            "tsugite-engine",
        ],
    ),
    (
        "tsugite-gateway",
        &["tsugite-base", "tsugite-traffic", "tsugite-grpc"],
    ),
    // Floor 4: composition.
    (
        "tsugite",
        &[
            "tsugite-base",
            "tsugite-broker",
            "tsugite-registry",
            "tsugite-traffic",
            "tsugite-aws",
            "tsugite-discovery",
            "tsugite-grpc",
            "tsugite-engine",
            "tsugite-log",
            "tsugite-gateway",
        ],
    ),
    // Tools. The load generator and these checks link nothing of ours.
    ("xtask", &[]),
    ("tsugite-bench", &[]),
    // The one measurement from inside: what an index of filter policies costs without a network around it.
    ("tsugite-filter-bench", &["tsugite-filter"]),
    // The judge of histories knows the promises and nothing of who keeps them.
    ("tsugite-checker", &[]),
    (
        "tsugite-fuzz",
        &[
            "tsugite-base",
            "tsugite-filter",
            "tsugite-broker",
            "tsugite-registry",
            "tsugite-traffic",
            "tsugite-aws",
            "tsugite-discovery",
            "tsugite-grpc",
            "tsugite-log",
        ],
    ),
    (
        "tsugite-sim",
        &[
            "tsugite-base",
            "tsugite-broker",
            "tsugite-registry",
            "tsugite-engine",
            "tsugite-log",
            "tsugite-checker",
        ],
    ),
];

/// What domain crates may use from outside. No serde: stored and served shapes are written by hand at the edges.
const DOMAIN_MAY_USE: &[&str] = &["crc32c"];
/// Some attributes of queues are themselves JSON texts (RedrivePolicy), and the broker has to understand them.
const BROKER_MAY_USE: &[&str] = &["crc32c", "serde_json", "sha2"];
/// What codecs may use from outside.
const WIRE_MAY_USE: &[&str] = &[
    "base64",
    "bytes",
    "form_urlencoded",
    "hmac",
    "md-5",
    "serde",
    "serde_json",
    "sha2",
];

/// External crates that floors 0 to 2 may use outside tests; `None` for a crate above them.
fn external_allowed(name: &str) -> Option<&'static [&'static str]> {
    match name {
        "tsugite-base" | "tsugite-filter" => Some(&[]),
        "tsugite-broker" => Some(BROKER_MAY_USE),
        "tsugite-registry" | "tsugite-traffic" => Some(DOMAIN_MAY_USE),
        // A store tells of changes through a watch channel; no more of tokio than `sync`.
        "tsugite-engine" => Some(&["tokio"]),
        "tsugite-aws" | "tsugite-discovery" | "tsugite-grpc" => Some(WIRE_MAY_USE),
        _ => None,
    }
}

/// One line of a manifest: who depends on what, and whether only for tests.
#[derive(Debug, Clone)]
struct Arrow {
    from: String,
    to: String,
    ours: bool,
    dev: bool,
}

pub(super) fn check(root: &Path) -> Vec<Problem> {
    match arrows(root) {
        Ok((crates, arrows)) => judge(&crates, &arrows),
        Err(error) => vec![format!("cannot read the crate graph: {error}")],
    }
}

fn judge(crates: &[String], arrows: &[Arrow]) -> Vec<Problem> {
    let table: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut found = Vec::new();
    for name in crates {
        if !table.contains_key(name.as_str()) {
            found.push(format!(
                "{name}: a new crate; give it a place in ARROWS of xtask/src/tidy/graph.rs"
            ));
        }
    }
    for Arrow { from, to, ours, dev } in arrows {
        let Some(allowed) = table.get(from.as_str()) else {
            continue;
        };
        if *ours && !allowed.contains(&to.as_str()) {
            found.push(format!(
                "{from} -> {to}: this arrow is not allowed (ARROWS of xtask/src/tidy/graph.rs)"
            ));
        }
        let barred = |list: &&[&str]| !list.contains(&to.as_str());
        if !*ours && !*dev && external_allowed(from).as_ref().is_some_and(barred) {
            found.push(format!("{from} -> {to}: floors 0 to 2 take no such dependency"));
        }
    }
    found
}

fn arrows(root: &Path) -> Result<(Vec<String>, Vec<Arrow>), Box<dyn std::error::Error>> {
    let output = Command::new(crate::cargo())
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let (mut crates, mut arrows) = (Vec::new(), Vec::new());
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            arrows.push(Arrow {
                from: name.clone(),
                to: dependency["name"].as_str().unwrap_or_default().to_owned(),
                ours: dependency["path"].is_string(),
                dev: dependency["kind"] == "dev",
            });
        }
        crates.push(name);
    }
    Ok((crates, arrows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, to: &str, ours: bool, dev: bool, refused: bool) {
        let arrow = Arrow {
            from: from.into(),
            to: to.into(),
            ours,
            dev,
        };
        let problems = judge(&[], &[arrow]);
        assert_eq!(!problems.is_empty(), refused, "{problems:?}");
    }

    #[test]
    fn arrows_point_down_only() {
        check("tsugite-broker", "tsugite-base", true, false, false);
        check("tsugite-base", "tsugite-broker", true, false, true);
        check("tsugite-broker", "tsugite-filter", true, false, false);
        check("tsugite-filter", "tsugite-base", true, false, true);
        check("tsugite-broker", "tsugite-registry", true, true, true);
        check("tsugite-aws", "tsugite-broker", true, false, true);
        check("tsugite-gateway", "tsugite-registry", true, false, true);
    }

    #[test]
    fn pure_crates_choose_their_dependencies() {
        check("tsugite-broker", "tokio", false, false, true);
        check("tsugite-broker", "serde", false, false, true);
        check("tsugite-broker", "proptest", false, true, false);
        check("tsugite-gateway", "tokio", false, false, false);
    }

    #[test]
    fn an_unlisted_crate_is_refused() {
        assert_eq!(judge(&["tsugite-corridor".into()], &[]).len(), 1);
    }

    #[test]
    fn the_table_has_no_circle() {
        // Each crate may only name crates listed above it.
        for (index, (name, targets)) in ARROWS.iter().enumerate() {
            for target in *targets {
                let above = ARROWS[..index].iter().any(|(other, _)| other == target);
                assert!(above, "{name} -> {target}");
            }
        }
    }
}
