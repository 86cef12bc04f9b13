//! `highwater cluster up`: from arguments to a cluster that is looked after.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;

use super::config_file::{self, Setting};
use super::look::Access;
use super::plan::Plan;
use super::process::Process;
use super::site::{DEFAULT, Held, Holding, Site};
use super::stop::Interrupts;
use super::supervise::{Care, Supervisor};
use super::voice::{Colour, coloured};
use super::{options_of_up, ports};
use crate::cli::{complain, say};

/// What `up` is told.
#[derive(Debug, Args)]
pub(super) struct Up {
    /// How many nodes, primaries and replicas together [default: 6, or those that are there]
    ///
    /// More than there are: the new ones join as empty primaries, ready for 'highwater cluster reshard'.
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Replicas of each primary, when the cluster is made [default: 1 from six nodes on, else 0]
    #[arg(long, value_name = "N")]
    replicas: Option<usize>,
    /// Port of the first node; the others follow, and each has its bus 10000 above [default: 7000]
    #[arg(long)]
    port: Option<u16>,
    /// Folder of the cluster
    #[arg(long, default_value = DEFAULT, value_name = "FOLDER")]
    dir: PathBuf,
    /// Addresses to listen on [default: 127.0.0.1, or what the nodes have]
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    bind: Vec<String>,
    /// Address that clients and nodes are told, where it is not the one that is listened on (cluster-announce-ip)
    #[arg(long, value_name = "ADDRESS")]
    announce: Option<String>,
    /// Go on in the background; 'highwater cluster down' stops it
    #[arg(long)]
    detach: bool,
    /// Leave nodes that died alone, until 'highwater cluster start'
    #[arg(long)]
    no_restart: bool,
    /// Seconds after which a node that died is started again: time to watch a failover
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    restart_after: u32,
    /// This process is the one in the background.
    #[arg(long, hide = true)]
    in_background: bool,
}

/// Takes the settings of nodes out of the words behind `up`: `--name value...` where `name` is one of redis.conf and no
/// option. What is neither stays, for clap to say what it thinks of it.
pub(super) fn split(words: Vec<OsString>) -> (Vec<OsString>, Vec<Vec<u8>>) {
    let options = options_of_up();
    let (mut own, mut settings) = (Vec::new(), Vec::new());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        let name = text.strip_prefix("--").unwrap_or_default();
        let (name, value) = name.split_once('=').map_or((name, None), |(n, v)| (n, Some(v)));
        let first = name.split_ascii_whitespace().next().unwrap_or_default();
        let is_option = options.iter().any(|(option, _)| option == name);
        if is_option || config_file::known(first).is_none() {
            own.push(word);
            continue;
        }
        settings.push(format!("--{name}").into_bytes());
        settings.extend(value.map(|value| value.as_bytes().to_vec()));
        // The first word may look like an option (a password), as in 'highwater server'.
        let complete = value.is_some() || first != name;
        if !complete && first != "save" {
            settings.extend(words.next().map(OsStringExt::into_vec));
        }
        while let Some(word) = words.next_if(|word| !word.as_bytes().starts_with(b"--")) {
            settings.push(word.into_vec());
        }
    }
    (own, settings)
}

/// Runs `up`. `words` are settings for all nodes.
///
/// # Errors
/// What is wrong with the arguments, with what is on disk, with the host.
pub(super) fn run(up: &Up, words: &[Vec<u8>]) -> Result<ExitCode, String> {
    let mut settings = config_file::settings(words)?;
    let one = |name, value: String| Setting { name, value };
    if !up.bind.is_empty() {
        settings.push(one("bind", up.bind.join(" ")));
    }
    if let Some(address) = &up.announce {
        settings.push(one("cluster-announce-ip", address.clone()));
    }
    if up.detach && !up.in_background {
        return detach();
    }
    let interrupts = Interrupts::catch()?;
    // What can be refused without a trace is refused before the folder is made.
    let first_plan = Plan::new(up.nodes.unwrap_or(6), up.replicas, up.port.unwrap_or(7000));
    if !up.dir.exists() {
        first_plan.clone()?;
    }
    let site = Site::make(&up.dir)?;
    let care = if up.no_restart {
        Care { restart_after: None }
    } else {
        Care { restart_after: Some(Duration::from_secs(u64::from(up.restart_after))) }
    };
    let held = hold(&site, care)?;
    let (plan, is_new) = match site.plan()? {
        Some(plan) => (going_on(up, plan)?, false),
        None => (first_plan?, true),
    };
    let made = prepare(&site, &plan, is_new, up, &settings)?;
    run_nodes(site, plan, care, made, interrupts, up, &held)
}

/// What was found and written before anything is started.
struct Prepared {
    running: Vec<Option<Process>>,
}

fn hold(site: &Site, care: Care) -> Result<Held, String> {
    site.hold(&care.text()).map_err(|holding| match holding {
        Holding::Impossible(why) => why,
        Holding::Other(who) => {
            let who = who.map_or_else(String::new, |who| format!(", by process {}", who.id()));
            format!(
                "the cluster in {} is looked after already{who}: 'highwater cluster status' shows it, \
                 'highwater cluster down' stops it",
                site.folder().display()
            )
        }
    })
}

/// The plan that is there, with what the arguments add to it.
fn going_on(up: &Up, mut plan: Plan) -> Result<Plan, String> {
    let (nodes, ports) = (plan.members.len(), plan.ports());
    let first = plan.members.first().map(|member| member.port);
    if let Some(port) = up.port.filter(|port| Some(*port) != first) {
        return Err(format!(
            "the cluster in {} is at ports {ports}, not from {port} on: leave --port out, or take another --dir",
            up.dir.display()
        ));
    }
    if let Some(replicas) = up.replicas.filter(|replicas| *replicas != plan.replicas) {
        return Err(format!(
            "the cluster in {} was made with {} replicas for each primary, not {replicas}: leave --replicas out; \
             '--nodes' adds nodes, 'highwater cli -p PORT cluster replicate ID' makes one a replica",
            up.dir.display(),
            plan.replicas
        ));
    }
    match up.nodes {
        Some(wanted) if wanted < nodes => {
            return Err(format!(
                "the cluster in {} has {nodes} nodes, not {wanted}: take one out with 'highwater cluster del-node', then \
                 'highwater cluster down NODE' strikes it off",
                up.dir.display()
            ));
        }
        Some(wanted) => plan.grow(wanted)?,
        None => {}
    }
    Ok(plan)
}

/// Looks at folders, processes and ports, then writes plan and settings. Nothing is changed if it fails before that.
fn prepare(
    site: &Site,
    plan: &Plan,
    is_new: bool,
    up: &Up,
    settings: &[Setting],
) -> Result<Prepared, String> {
    let ports = || plan.members.iter().map(|member| member.port);
    let foreign = |port: &u16| is_new && site.node(*port).exists();
    if let Some(port) = ports().find(foreign) {
        return Err(format!(
            "{} is there already, and no cluster that this command made: move it away, or take another --dir",
            site.node(port).display()
        ));
    }
    let configs: Vec<PathBuf> = ports().map(|port| site.config(port)).collect();
    let running = Process::of_nodes(&configs);
    for (port, _) in ports().zip(&running).filter(|(_, process)| process.is_none()) {
        let bind = match config_file::read(site, port) {
            _ if !up.bind.is_empty() => up.bind.clone(),
            Ok(config) => config.bind.clone(),
            Err(_) => vec![config_file::LOOPBACK.to_owned()],
        };
        if let Some(why) = ports::taken(&bind, port) {
            let hint = if is_new { "; --port takes others" } else { "" };
            return Err(format!("{why}: nothing was started{hint}"));
        }
    }
    // Nodes that run hear it from us, by their old password; the others read their files.
    let live: Vec<Option<Access>> = ports()
        .zip(&running)
        .map(|(port, process)| process.as_ref().and_then(|_| Access::of(site, port).ok()))
        .collect();
    site.keep(plan)?;
    // A node that is new among others starts with what the first one has.
    let model = ports().map(|port| site.config(port)).find_map(|path| std::fs::read(path).ok());
    for port in ports() {
        config_file::write(site, port, model.as_deref(), settings)?;
    }
    for access in live.iter().flatten() {
        apply(access, settings);
    }
    Ok(Prepared { running })
}

/// Changes the settings of a node that runs.
fn apply(access: &Access, settings: &[Setting]) {
    // The password last: the next connection needs the new one.
    for setting in settings
        .iter()
        .filter(|setting| setting.name != "requirepass")
        .chain(settings.iter().filter(|setting| setting.name == "requirepass"))
    {
        let value = setting.plain();
        if let Err(error) = access.tell(&["CONFIG", "SET", setting.name, &value]) {
            say(&format!("  {error}: --{} counts from its next start on", setting.name));
        }
    }
}

fn run_nodes(
    site: Site,
    plan: Plan,
    care: Care,
    made: Prepared,
    interrupts: Interrupts,
    up: &Up,
    _held: &Held,
) -> Result<ExitCode, String> {
    let config = config_file::read(&site, plan.members[0].port)?;
    warn(&config.bind, config.requirepass.is_empty(), &config.cluster_announce_ip);
    let adopted = made.running.iter().flatten().count();
    let (folder, nodes) = (site.folder().display(), plan.members.len());
    match (plan.formed, adopted) {
        (false, _) => say(&format!("Making a cluster of {nodes} in {folder}")),
        (true, 0) => say(&format!("Starting the cluster of {nodes} in {folder}")),
        (true, _) => {
            say(&format!("Going on with the cluster of {nodes} in {folder}: {adopted} run"))
        }
    }
    let mut supervisor = Supervisor::new(site, plan, care, made.running, interrupts)?;
    if let Err(error) = supervisor.begin() {
        supervisor.stop();
        return if error.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(error) };
    }
    supervisor.run(up.in_background)
}

/// Says what is open to others.
fn warn(bind: &[String], no_password: bool, announced: &str) {
    let open = bind.iter().any(|word| ports::is_open(word)) || bind.is_empty();
    if open && no_password {
        let text = "Other hosts can connect, and no password is asked: --requirepass sets one";
        complain(&coloured(text, Colour::Yellow));
    }
    let everywhere = bind.iter().any(|word| ["0.0.0.0", "::"].contains(&ports::address(word)));
    if everywhere && announced.is_empty() {
        let text = "Clients on other hosts are sent to 127.0.0.1: --announce says by which address they reach this host";
        complain(&coloured(text, Colour::Yellow));
    }
}

/// Starts this command in the background and shows what it says until the cluster is there.
fn detach() -> Result<ExitCode, String> {
    // Ctrl-C reaches both; the one in the background stops what it started, and this one shows it.
    let _interrupts = Interrupts::catch()?;
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("--in-background")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start the one in the background: {error}"))?;
    let mut output = child.stdout.take().expect("it was piped");
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = output.read(&mut bytes) {
        let mut terminal = std::io::stdout().lock();
        // Nobody may be there to read it.
        drop(terminal.write_all(&bytes[..count]).and_then(|()| terminal.flush()));
    }
    // It goes on with its output elsewhere, or has ended.
    for _ in 0..20 {
        if let Ok(Some(status)) = child.try_wait() {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(ExitCode::from(code.unwrap_or(1)));
        }
        // Leaving the session is the last that can fail.
        if Process::of_child(child.id()).is_some_and(|child| child.leads_session()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, own: &str, settings: &str) {
        let list = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let (found, found_settings) = split(list(words));
        let text = |words: Vec<OsString>| words.join(std::ffi::OsStr::new(" "));
        assert_eq!(text(found), own, "{words}");
        let found: Vec<OsString> = found_settings.into_iter().map(OsString::from_vec).collect();
        assert_eq!(text(found), settings, "{words}");
    }

    #[test]
    fn settings_are_told_from_options() {
        check("up --nodes 3 --appendfsync always", "up --nodes 3", "--appendfsync always");
        check("up --save 60 1 --dir x --detach", "up --dir x --detach", "--save 60 1");
        check("up --maxmemory=1gb --port=7100", "up --port=7100", "--maxmemory 1gb");
        check("up --bind 127.0.0.1 ::1", "up --bind 127.0.0.1 ::1", "");
        check("up --requirepass --x --nodes 1", "up --nodes 1", "--requirepass --x");
        check("up --save --nodes 1", "up --nodes 1", "--save");
    }

    #[test]
    fn what_is_unknown_is_left_to_be_refused() {
        check("up --replica 1 x", "up --replica 1 x", "");
        check("up --help", "up --help", "");
    }

    fn up(words: &[&str]) -> Up {
        use clap::{Parser, Subcommand};
        #[derive(Debug, Parser)]
        struct Only {
            #[command(subcommand)]
            command: Word,
        }
        #[derive(Debug, Subcommand)]
        enum Word {
            Up(Up),
        }
        let words = ["x", "up"].iter().chain(words);
        let Word::Up(up) = Only::try_parse_from(words).unwrap().command;
        up
    }

    #[test]
    fn contradictions_to_what_is_there_are_told() {
        let plan = || Plan::new(6, None, 7000).unwrap();
        let check = |words: &[&str], part: &str| {
            let error = going_on(&up(words), plan()).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        check(&["--port", "7100"], "7000 to 7005");
        check(&["--replicas", "2"], "with 1 replicas");
        check(&["--nodes", "3"], "has 6 nodes");
        assert_eq!(going_on(&up(&["--nodes", "6", "--replicas", "1"]), plan()), Ok(plan()));
        assert_eq!(going_on(&up(&["--nodes", "8"]), plan()).unwrap().members.len(), 8);
    }
}
