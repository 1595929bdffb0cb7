//! Whether the ports at which a deployment's health is asked are foreign.
//!
//! Never more than a remark: nginx in front, a proxy of a container or a supervisor that the deployer does not know may well hold the port for
//! what is deployed. But where nothing of the deployment runs yet, or its units do not, and somebody listens there, a person wants to know it.

use super::programs::commands;
use crate::config::recipe::Starts;
use crate::config::{Deployment, Phase, Probe};
use crate::process::process_table;
use crate::process::tools::systemctl;
use fs_err as fs;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Those below are the web's own: somebody in front listens there for all.
const OWN_PORT_MIN: u16 = 1024;

/// `TCP_LISTEN` in /proc/net/tcp.
const LISTENING: &str = "0A";

/// A socket that somebody listens at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listener {
    port: u16,
    /// Whose it is, by number.
    user: u32,
    inode: u64,
}

/// Of the ports of this host that health checks ask, those that somebody listens at, in sentences. Asked where nothing of the deployment runs.
pub fn taken(deployment: &Deployment) -> Vec<String> {
    if !starts_something(deployment) {
        return Vec::new();
    }
    let listeners: Vec<Listener> = ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/net/{table}")).ok())
        .flat_map(|text| listeners(&text))
        .collect();
    asked(deployment)
        .into_iter()
        .filter_map(|port| listeners.iter().find(|listener| listener.port == port))
        .map(|listener| {
            format!(
                "nothing of {} runs, and port {}, which its health check asks, is held by {}: unless that serves it, what is deployed cannot listen there",
                deployment.slug,
                listener.port,
                holder(listener)
            )
        })
        .collect()
}

/// Whether a run starts a program that is to go on running. Where only files are brought, whoever serves them listens already.
fn starts_something(deployment: &Deployment) -> bool {
    match deployment.recipe.starts {
        Starts::Nothing => false,
        Starts::WhatCommandsStart => commands(deployment).iter().any(|(phase, _)| *phase == Phase::Switch),
        Starts::Program | Starts::Unstarted => true,
    }
}

/// Ports of this host that health checks ask, without those of the web.
fn asked(deployment: &Deployment) -> BTreeSet<u16> {
    let is_here = |host: &str| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let of = |check: &crate::config::HealthCheck| match &check.probe {
        Probe::Http { url, .. } => {
            let url = url.parse::<http::Uri>().ok()?;
            url.host().filter(|host| is_here(host)).and(url.port_u16())
        }
        Probe::Tcp(address) => {
            let (host, port) = address.rsplit_once(':')?;
            is_here(host).then(|| port.parse().ok())?
        }
        Probe::Command(_) => None,
    };
    deployment.health.iter().filter_map(of).filter(|port| *port >= OWN_PORT_MIN).collect()
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...`
fn listeners(table: &str) -> Vec<Listener> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        (*fields.get(3)? == LISTENING).then_some(())?;
        Some(Listener {
            port: u16::from_str_radix(port, 16).ok()?,
            user: fields.get(7)?.parse().ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    };
    table.lines().skip(1).filter_map(read).collect()
}

/// The process, as far as we may see whose the socket is; else its user.
fn holder(listener: &Listener) -> String {
    let socket = format!("socket:[{}]", listener.inode);
    let has_it = |process: &&process_table::Process| {
        let open = fs::read_dir(format!("/proc/{}/fd", process.pid)).into_iter().flatten().flatten();
        open.filter_map(|entry| entry.path().read_link().ok())
            .any(|target| target.as_os_str() == socket.as_str())
    };
    let processes = process_table::all().unwrap_or_default();
    let Some(process) = processes.iter().find(has_it) else {
        return format!("a process of user {} (`sudo ss -ltnp` names it)", listener.user);
    };
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap_or_default();
    let unit = systemctl::service_of(&groups).map(|unit| format!(", of {unit}")).unwrap_or_default();
    let program = process.arguments.first().map_or("?", String::as_str);
    format!("process {} ({program}{unit})", process.pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::deployment_of;

    #[test]
    fn ports_of_this_host_are_asked_for() {
        let health = r#"health = [{ http = "http://127.0.0.1:3000/x" }, { http = "http://localhost/" }, { http = "https://example.org:8443/" },
            { tcp = "[::1]:3001" }, { tcp = "localhost:80" }, { tcp = "10.0.0.1:3002" }, { command = ["true"] }]"#;
        assert_eq!(asked(&deployment_of(health)).into_iter().collect::<Vec<_>>(), [3000, 3001]);
    }

    #[test]
    fn who_listens_stands_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0 0 10 0\n   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0\n";
        assert_eq!(listeners(table), [Listener { port: 8080, user: 1000, inode: 4242 }]);
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = here.local_addr().unwrap().port();
        let health = format!("health = [{{ tcp = \"127.0.0.1:{port}\" }}]");
        assert!(taken(&deployment_of(&health)).is_empty(), "files are served by who serves them");
        let said = taken(&deployment_of(&format!("{health}\nhooks = {{ after_switch = \"restart it\" }}")));
        let us = format!("is held by process {} (", std::process::id());
        assert!(port < OWN_PORT_MIN || said[0].contains(&us), "{said:?}");
    }
}
