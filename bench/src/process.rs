//! The processes under test: started, watched from outside through `/proc`, stopped.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// Linux counts processor time for `/proc` in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running program and its children, killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts a program whose output goes to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Process> {
        let file = fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn();
        let child = child.map_err(|error| format!("cannot start {:?}: {error}", command.get_program()))?;
        Ok(Process {
            name: name.to_owned(),
            child,
        })
    }

    /// Waits until something accepts at `address`.
    pub(crate) fn wait_for(&mut self, address: SocketAddr, log: &Path) -> Result<()> {
        let accepts = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok();
        self.wait_until(accepts, Duration::from_secs(60), log)
            .map_err(|error| format!("{address}: {error}").into())
    }

    /// Waits until the process is what it should be, which is looked at every millisecond.
    pub(crate) fn wait_until(
        &mut self,
        is_ready: impl Fn() -> bool,
        limit: Duration,
        log: &Path,
    ) -> Result<()> {
        let begin = Instant::now();
        while !is_ready() {
            if self.child.try_wait()?.is_some() || begin.elapsed() > limit {
                let told = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{} does not serve:\n{told}", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Ends the process as a crash would.
    pub(crate) fn kill_now(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Bytes that the process has made the kernel write to disk.
    pub(crate) fn written_bytes(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let bytes = text
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
        bytes.ok_or_else(|| "no write_bytes in /proc/PID/io".into())
    }

    /// User plus system seconds of the process and its children since their start.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let fields = self.family().into_iter().filter_map(stat_fields);
        // Fields 14 and 15 of the line; `stat_fields` begins with the third.
        fields
            .map(|fields| number(&fields, 11) + number(&fields, 12))
            .sum::<f64>()
            / TICKS_PER_SECOND
    }

    /// Resident memory of the process and its children in MB; shared pages count in each of them.
    pub(crate) fn rss_mb(&self) -> f64 {
        let lines = self
            .family()
            .into_iter()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
        let kib = lines.filter_map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        });
        kib.sum::<f64>() / 1024.0
    }

    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        family.extend(
            processes
                .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
                .filter(|pid| {
                    stat_fields(*pid).is_some_and(|fields| {
                        fields
                            .get(1)
                            .is_some_and(|parent| *parent == self.child.id().to_string())
                    })
                }),
        );
        family
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return; // It is gone, and its number may be another's by now.
        }
        // TERM first: nginx's master and HAProxy's take their workers with them.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let begin = Instant::now();
        while asked.is_ok() && begin.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// The fields of `/proc/PID/stat` behind the name, which may itself hold spaces: state, parent, ….
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(
        text.rsplit_once(") ")?
            .1
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}

fn number(fields: &[String], index: usize) -> f64 {
    fields
        .get(index)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0.0)
}

/// A port that is free now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
