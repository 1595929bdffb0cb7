//! How one gets here: names that lead to this machine, and who answers at the door.

use super::context::DoctorContext;
use super::finding::{CheckResult, Finding, or_ok};
use super::nginx::site_names;
use crate::admin::owner;
use crate::config::{Config, Proxies};
use crate::daemon::{self, listen_lock};
use crate::process::lock::holder;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Of one question to DNS.
const DNS_TIME_MAX: Duration = Duration::from_secs(5);

/// Sites whose names are looked up: more take longer than a check may.
const SITES_MAX: usize = 50;

/// Made where the unit is enabled.
const INTAKE_SOCKET_ENABLED: &str = "/etc/systemd/system/sockets.target.wants/durhack-deployer-intake.socket";

/// From the question to the end of the answer at our own door.
const DOOR_TIME_MAX: Duration = Duration::from_secs(5);

/// Whether `origin` leads here.
pub async fn origin(context: &DoctorContext) -> CheckResult {
    let origin = &context.config()?.origin;
    let host = origin.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned));
    let host = host.with_context(|| format!("`origin` has no host: {origin}"))?;
    let finding = leads_here(host.trim_matches(['[', ']']), &own_addresses()?).await;
    Ok(vec![finding.unwrap_or_else(|| Finding::ok(format!("{host} leads here")))])
}

/// Whether the names of the sites do.
pub async fn sites(context: &DoctorContext) -> CheckResult {
    let names = site_names(context)?;
    if names.is_empty() {
        return Ok(vec![Finding::not_checked("nginx has no sites with public names")]);
    }
    let own = own_addresses()?;
    let mut findings = Vec::new();
    for name in names.iter().take(SITES_MAX) {
        findings.extend(leads_here(name.as_str(), &own).await);
    }
    if names.len() > SITES_MAX {
        findings.push(Finding::not_checked(format!("{} further names", names.len() - SITES_MAX)));
    }
    Ok(or_ok(findings, format!("{} names lead here", names.len())))
}

async fn leads_here(host: &str, own: &BTreeSet<IpAddr>) -> Option<Finding> {
    let addresses: BTreeSet<IpAddr> = match timeout(DNS_TIME_MAX, lookup_host((host, 0))).await {
        Err(_) => return Some(Finding::not_checked(format!("DNS does not answer for {host}"))),
        Ok(Err(error)) => {
            return Some(Finding::error(
                format!("{host} resolves to nothing: {error}"),
                format!("give {host} an A or AAAA record that leads to this machine"),
            ));
        }
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
    };
    if addresses.iter().any(|address| own.contains(address)) {
        return None;
    }
    let shown = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(Finding::warning(
        format!("{host} leads to {shown}, which is no address of this machine"),
        "right where a router or proxy stands in front; else change its A and AAAA records",
    ))
}

/// As the kernel lists them.
fn own_addresses() -> Result<BTreeSet<IpAddr>> {
    let mut own = of_fib_trie(&fs_err::read_to_string("/proc/net/fib_trie")?);
    // Not there where IPv6 is switched off.
    own.extend(of_if_inet6(&fs_err::read_to_string("/proc/net/if_inet6").unwrap_or_default()));
    Ok(own)
}

/// `|-- 192.0.2.2` and, below it, `/32 host LOCAL`.
fn of_fib_trie(text: &str) -> BTreeSet<IpAddr> {
    let mut own = BTreeSet::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in text.lines() {
        if let Some(address) = line.trim_start().strip_prefix("|-- ") {
            last = address.trim().parse().ok();
        } else if line.trim_end().ends_with("/32 host LOCAL") {
            own.extend(last.map(IpAddr::V4));
        }
    }
    own
}

/// `fe80...0001 02 40 20 80 eth0`
fn of_if_inet6(text: &str) -> BTreeSet<IpAddr> {
    let numbers =
        text.lines().filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok());
    numbers.map(|number| IpAddr::V6(Ipv6Addr::from(number))).collect()
}

/// Whether the daemon answers where it should listen, and who does if it is another program.
pub async fn door(context: &DoctorContext) -> CheckResult {
    door_of(context.config()?).await
}

/// The same, of a configuration.
pub async fn door_of(config: &Config) -> CheckResult {
    let holder = holder(&config.state_directory, &listen_lock(&config.state_directory))?;
    let address = match (config.intake.port, daemon::address(config).filter(|_| holder.is_some())) {
        (_, Some(written)) => written.to_string(),
        (0, None) => return Ok(vec![holder.map_or_else(not_running, listens_somewhere)]),
        (port, None) => format!("{}:{port}", unspecified_as_loopback(&config.intake.host)),
    };
    let connected = timeout(DOOR_TIME_MAX, TcpStream::connect(&address)).await;
    if !matches!(connected, Ok(Ok(_))) {
        return Ok(vec![match holder {
            None => not_running(),
            Some(pid) => Finding::error(
                format!("the daemon (process {pid}) lives, and nobody answers at {address}"),
                "restart it: nothing that was accepted is lost",
            ),
        }]);
    }
    drop(connected);
    Ok(vec![match (answers_as_we_do(&address).await, holder) {
        (true, _) => Finding::ok(format!("the daemon answers at http://{address}/")),
        (false, Some(pid)) => Finding::error(
            format!("the daemon (process {pid}) does not answer at http://{address}/ as it should"),
            "look into its log, and restart it: nothing that was accepted is lost",
        ),
        // Whoever calls waits at the socket, which systemd goes on holding.
        (false, None) if is_systemds(&address) => Finding::error(
            format!("systemd holds {address} for the intake, which does not answer: callers wait there"),
            "`journalctl -u durhack-deployer-intake` says what keeps it from starting; once that is mended it starts by itself",
        ),
        (false, None) => Finding::error(
            format!("another program holds {address}: the daemon could not listen there"),
            format!(
                "`ss -ltnp 'sport = :{}'` says which; stop it, or set another `listen.port`",
                config.intake.port
            ),
        ),
    }])
}

/// Whether others reach the port than the proxy behind which the deployer is configured to be.
pub fn port(context: &DoctorContext) -> CheckResult {
    let config = context.config()?;
    Ok(vec![match daemon::address(config) {
        None => Finding::not_checked("no daemon listens"),
        Some(address) => judge_port(&config.intake.proxies, address, &config.origin),
    }])
}

/// The judgement of [`port`], of what it has found.
fn judge_port(proxies: &Proxies, address: SocketAddr, origin: &str) -> Finding {
    let what = match proxies {
        Proxies::Hops(0) => return Finding::ok("no proxy is configured: callers are who calls"),
        _ if !address.ip().is_unspecified() => return Finding::ok(format!("{address} is listened on alone")),
        Proxies::Hops(_) => {
            "whoever calls it without the proxy says of itself who it is (`proxy_fix.x_for`)".to_owned()
        }
        Proxies::Trusted(networks) if networks.iter().all(|network| network.addr().is_loopback()) => {
            "only a proxy on this machine is believed (`proxy_fix.trusted_proxies`)".to_owned()
        }
        Proxies::Trusted(_) => return Finding::ok("the proxies that are believed are named by address"),
    };
    Finding::warning(
        format!("port {} is open on every address, and {what}", address.port()),
        format!(
            "`sudo durhack-deployer setup --origin {origin}` opens it for nginx alone; right where a firewall keeps others away, or GitHub calls the port itself"
        ),
    )
}

/// Whether it is the intake's socket that listens there: the unit is enabled, and root has opened the port, as systemd does.
fn is_systemds(address: &str) -> bool {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs_err::read_to_string(table).unwrap_or_default());
    let is_roots = port.is_some_and(|port| tables.iter().any(|table| is_listened_on_by_root(table, port)));
    is_roots && Path::new(INTAKE_SOCKET_ENABLED).symlink_metadata().is_ok()
}

/// `0: 00000000:0D48 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711`: address, state 0A, and the seventh further word.
fn is_listened_on_by_root(table: &str, port: u16) -> bool {
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[_, local, _, "0A", _, _, _, "0", ..] = words.as_slice() else { return false };
        local.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok()) == Some(port)
    })
}

fn not_running() -> Finding {
    Finding::error("no daemon listens: webhooks reach nobody", format!("start it: {}", owner::how_to_start()))
}

/// A full disk kept it from writing down where.
fn listens_somewhere(pid: u32) -> Finding {
    Finding::warning(
        format!("the daemon (process {pid}) lives, and has not written down where it listens"),
        "its log says where; it writes that down when it is started with room in the state directory",
    )
}

/// Whom one asks where all addresses are listened on.
fn unspecified_as_loopback(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    }
}

async fn answers_as_we_do(address: &str) -> bool {
    let ask = async {
        let client = reqwest::Client::builder().no_proxy().timeout(DOOR_TIME_MAX).build().ok()?;
        let answer = client.get(format!("http://{address}/")).send().await.ok()?;
        answer.json::<serde_json::Value>().await.ok()
    };
    ask.await.is_some_and(|answer| answer["service"] == "durhack-deployer")
}

#[cfg(test)]
mod tests {
    use super::super::finding::FindingLevel;
    use super::*;

    #[test]
    fn a_port_behind_a_proxy_is_open_for_that_alone() {
        let trusted = |network: &str| Proxies::Trusted(vec![network.parse().unwrap()]);
        for (proxies, address, expected) in [
            (trusted("127.0.0.0/8"), "[::]:3400", FindingLevel::Warning),
            (trusted("::1/128"), "0.0.0.0:3400", FindingLevel::Warning),
            (Proxies::Hops(1), "[::]:3400", FindingLevel::Warning),
            (trusted("127.0.0.0/8"), "127.0.0.1:3400", FindingLevel::Ok),
            (trusted("192.0.2.7/32"), "[::]:3400", FindingLevel::Ok),
            (Proxies::Hops(0), "[::]:3400", FindingLevel::Ok),
        ] {
            let found = judge_port(&proxies, address.parse().unwrap(), "https://deploy.example.org");
            assert_eq!(found.level, expected, "{proxies:?} {address}");
        }
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n           |-- 192.0.2.2\n              /32 host LOCAL\n           |-- 192.0.2.255\n              /32 link BROADCAST\n";
        let own: Vec<String> = of_fib_trie(trie).iter().map(ToString::to_string).collect();
        assert_eq!(own, ["127.0.0.1", "192.0.2.2"]);
        let own = of_if_inet6("00000000000000000000000000000001 01 80 10 80       lo\nnonsense\n");
        assert_eq!(own.iter().map(ToString::to_string).collect::<Vec<_>>(), ["::1"]);
        let tcp = "  sl  local_address rem_address   st\n   0: 00000000:0D48 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n   1: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4712 1\n";
        assert_eq!([3400, 80, 443].map(|port| is_listened_on_by_root(tcp, port)), [true, false, false]);
    }
}
