//! Names of variables that decide what code a program runs, or where it reads and writes: for loaders, shells, interpreters, package managers and
//! the tools that builds and operators call.
//!
//! Such a list is never whole. So it is not what keeps a file's variables from a step outside of the sandbox: nothing passes there but
//! what the operator names (`env_unsandboxed`). It is what even the operator does not pass from a file, and why is said to him.

/// Variables that make a program load or run something, by their whole names.
const NAMES: &[&str] = &[
    "BASHOPTS",
    "BASH_ENV",
    "BROWSER",
    "BUNDLE_GEMFILE",
    "CDPATH",
    "CFLAGS",
    "CLASSPATH",
    "CURL_HOME",
    "DOCKER_CONFIG",
    "DOCKER_HOST",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "GLOBIGNORE",
    "GOENV",
    "GOFLAGS",
    "GOPATH",
    "GOPROXY",
    "GOROOT",
    "GOTOOLCHAIN",
    "HOME",
    "HOSTALIASES",
    "IFS",
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "KUBECONFIG",
    "LESSCLOSE",
    "LESSOPEN",
    "LOCALDOMAIN",
    "LOCPATH",
    "LOGNAME",
    "MAKEFILES",
    "MAKEFLAGS",
    "MANPAGER",
    "NETRC",
    "NIS_PATH",
    "NLSPATH",
    "NOTIFY_SOCKET",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "PAGER",
    "PATH",
    "PROMPT_COMMAND",
    "PS4",
    "PWD",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "SHELL",
    "SHELLOPTS",
    "SUDO_ASKPASS",
    "TMPDIR",
    "TZDIR",
    "USER",
    "VISUAL",
    "WATCHDOG_PID",
    "WGETRC",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
];

/// Beginnings of names, in any case: npm reads `npm_config_x` and `NPM_CONFIG_X` alike.
const BEGINNINGS: &[&str] = &[
    "BASH_FUNC_",
    "CARGO_",
    "COREPACK_",
    "DBUS_",
    "DEPLOYER_",
    "DYLD_",
    "GEM_",
    "GIT_",
    "LD_",
    "LISTEN_",
    "MALLOC_",
    "NODE_",
    "NPM_",
    "PERL",
    "PIP_",
    "PM2_",
    "PNPM_",
    "PYTHON",
    "RUBY",
    "RUSTUP_",
    "SSH_",
    "SYSTEMD_",
    "UV_",
    "UWSGI_",
    "VIRTUAL_ENV",
    "XDG_",
    "YARN_",
];

/// Of these beginnings, what says no more than in which run_mode an application runs.
const HARMLESS: &[&str] = &["NODE_ENV"];

/// What reaches no program of the deployer's from a file: the process that starts a step and makes its sandbox is told of the step's variables
/// too, and it is by `DEPLOYER_RUN` that a run's processes are found.
const OF_THE_STARTER: &[&str] = &["DEPLOYER_", "DYLD_", "GLIBC_TUNABLES", "LD_"];

/// Whether a variable of this name steers what runs it.
pub fn steers(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let begins = |beginning: &&str| upper.starts_with(*beginning);
    !HARMLESS.contains(&name) && (NAMES.contains(&upper.as_str()) || BEGINNINGS.iter().any(begins))
}

/// Whether it steers whatever starts a step, be that sandboxed or not.
pub fn steers_starter(name: &str) -> bool {
    OF_THE_STARTER.iter().any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaders_shells_and_interpreters_are_steered_and_applications_are_not() {
        for name in [
            "LD_PRELOAD",
            "LD_AUDIT",
            "LD_LIBRARY_PATH",
            "DYLD_INSERT_LIBRARIES",
            "GCONV_PATH",
            "LOCPATH",
            "MALLOC_CHECK_",
            "GLIBC_TUNABLES",
            "PATH",
            "BASH_ENV",
            "ENV",
            "SHELLOPTS",
            "BASHOPTS",
            "BASH_FUNC_x",
            "PS4",
            "IFS",
            "PROMPT_COMMAND",
            "NODE_OPTIONS",
            "NODE_PATH",
            "NODE_EXTRA_CA_CERTS",
            "npm_config_script_shell",
            "NPM_CONFIG_NODE_OPTIONS",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "PYTHONHOME",
            "PERL5LIB",
            "PERL5OPT",
            "PERLLIB",
            "RUBYOPT",
            "RUBYLIB",
            "JAVA_TOOL_OPTIONS",
            "_JAVA_OPTIONS",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "SSH_ASKPASS",
            "EDITOR",
            "PAGER",
            "DEPLOYER_RUN",
            "PM2_HOME",
            "HOME",
            "TMPDIR",
            "XDG_CONFIG_HOME",
            "SYSTEMD_PAGER",
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
            "UV_INDEX",
            "PIP_INDEX_URL",
            "GOFLAGS",
            "GOPROXY",
            "CARGO_HOME",
            "MAKEFLAGS",
            "RUSTC_WRAPPER",
            "OPENSSL_CONF",
            "LESSOPEN",
            "KUBECONFIG",
        ] {
            assert!(steers(name), "{name}");
        }
        for name in [
            "DATABASE_URL",
            "SMTP_PASSWORD",
            "PORT",
            "NODE_ENV",
            "SENTRY_DSN",
            "VITE_API",
            "GOOGLE_CLIENT_ID",
            "LDAP_URL",
        ] {
            assert!(!steers(name) && !steers_starter(name), "{name}");
        }
        assert!(
            steers_starter("LD_PRELOAD") && steers_starter("DEPLOYER_RUN") && !steers_starter("NODE_OPTIONS")
        );
    }
}
