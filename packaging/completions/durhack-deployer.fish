# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_durhack_deployer_global_optspecs
    string join \n config= log= h/help V/version
end

function __fish_durhack_deployer_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_durhack_deployer_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_durhack_deployer_using_subcommand
    set -l cmd (__fish_durhack_deployer_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "demo" -d 'Show the whole way of a push in a temporary directory: three pushes, two releases, one failure'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "init" -d 'Look at a repository, and write a commented deployment for it'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "setup" -d 'Make this host receive pushes and deploy them, as a hardened service; or take that back'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "move-user" -d 'Give a deployment a user of its own, or another one, with its files and programs; as root'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "serve" -d 'Receive pushes and deploy them, in one process'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "listen" -d 'Receive pushes only; `work` deploys them'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "work" -d 'Deploy what `listen` has received'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "deploy" -d 'Deploy a branch\'s head, or one commit, and wait for the end'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "rollback" -d 'Go back to the release before the live one, or to a named one, and wait for the end'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "adopt" -d 'Turn a work tree that is deployed in place into releases, while it serves'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "approve" -d 'Approve the commit that waits, and wait for the end of its run'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "release" -d 'Let the commit that waits through a freeze, or lift the freeze for a while'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "cancel" -d 'Stop a run, and wait until nothing of it is left'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "status" -d 'What is live, what is running, what waits, and what is wrong on this host; exit code 1 says that something is'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "runs" -d 'The latest runs'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "run" -d 'One run, step by step'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "logs" -d 'What a run\'s commands printed; for a deployment, its newest run\'s'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "deliveries" -d 'The latest deliveries and what became of them'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "explain" -d 'What became of one delivery, and why'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "plan" -d 'What a deploy would do now; nothing is done'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "queue" -d 'What waits in the spools, and what was set aside'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "simulate" -d 'Send the running daemon what GitHub would send'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "webhook" -d 'Make, look at, try out, and remove the hooks at GitHub that deliver here'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "doctor" -d 'Look at everything the service needs, and say how to mend what is wrong; nothing is changed'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "config" -d 'Look at the configuration'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "migrate" -d 'Bring the database\'s schema up or down'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "man" -d 'Print the man page'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "__generate" -d 'Write the generated documents below a directory'
complete -c durhack-deployer -n "__fish_durhack_deployer_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand demo" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand demo" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand demo" -l keep -d 'Go on serving at the end, and keep the directory'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand demo" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand demo" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand init" -l branch -d 'Whose head is to be deployed [default: what is checked out there, else main or master]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand init" -l slug -d 'What the deployment is to be called [default: as the repository]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand init" -l path -d 'Where it is to be deployed to [default: /var/www/SLUG]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand init" -l write -d 'Add it to this file, instead of printing it' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand init" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand init" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand init" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand init" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l origin -d 'How GitHub reaches this host, as in https://deploy.example.org: gives nginx a site for it' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l privileges -d 'How what needs root is done [default: as the configuration says, else helper]' -r -f -a "helper\t'By a helper that does what a list of root\'s allows'
sudo\t'By sudo, with fixed rules; the worker is then confined less'"
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l from -d 'Move an installation of the Python tool here: its checkout, which holds config/' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l dry-run -d 'Say what would be done, and do nothing'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l yes -d 'Do not ask before it is done'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l uninstall -d 'Take back what setup has done; state, configuration and applications stay'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l purge -d 'State, configuration, secrets and the user go too; applications stay'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l back -d 'Undo --from: the Python tool receives and deploys again'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -l json -d 'With --from or --back: print JSON'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand setup" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand move-user" -l to -d 'The new user [default: what is recorded for it, else app-SLUG]; durhack-deployer is the deployer\'s own, which deployments share' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand move-user" -l from -d 'Another user whose files in the deployment become the new one\'s: one that neither the configuration nor users.toml names any more' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand move-user" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand move-user" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand move-user" -l dry-run -d 'Say what would be done, and do nothing'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand move-user" -l yes -d 'Do not ask before it is done'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand move-user" -l no-deploy -d 'Do not deploy the live commit once more at the end: until somebody does, what is live runs as before'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand move-user" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand move-user" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand serve" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand serve" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand serve" -l take-over -d 'Take the place of the deployer whose socket is the standard input (it starts this itself when it is deployed)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand serve" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand serve" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand listen" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand listen" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand listen" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand listen" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand work" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand work" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand work" -l take-over -d 'Take the place of the deployer whose socket is the standard input (it starts this itself when it is deployed)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand work" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand work" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deploy" -l commit -d 'This commit instead of the branch\'s head (whole id)' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deploy" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deploy" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deploy" -l force -d 'Also where the commit is live already, or would wait for checks, an approval or the end of a freeze'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deploy" -l no-wait -d 'Do not wait for the end (needs a running daemon)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deploy" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deploy" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand rollback" -l to -d 'Release name, or the beginning of its commit id [default: the one that was live before, so a second rollback is back where the first began]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand rollback" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand rollback" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand rollback" -l no-wait -d 'Do not wait for the end (needs a running daemon)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand rollback" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand rollback" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand adopt" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand adopt" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand adopt" -l dry-run -d 'Say what would be done, and do nothing'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand adopt" -l yes -d 'Do not ask before it is done'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand adopt" -l force -d 'Also where files that git tracks were changed by hand, or (with --finish) programs still run in the old tree'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand adopt" -l finish -d 'Afterwards: move what is left of the old tree aside'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand adopt" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand adopt" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand approve" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand approve" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand approve" -l no-wait -d 'Do not wait for the end (needs a running daemon)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand approve" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand approve" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand release" -l until -d 'Not only for the commit that waits, but for all until then: `2026-12-23 18:00` (in `freeze_timezone`); one that has passed ends it' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand release" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand release" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand release" -l no-wait -d 'Do not wait for the end (needs a running daemon)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand release" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand release" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand cancel" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand cancel" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand cancel" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand cancel" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand status" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand status" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand status" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand status" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand status" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand runs" -s n -l limit -d 'At most so many' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand runs" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand runs" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand runs" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand runs" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand runs" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand run" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand run" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand run" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand run" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand run" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand logs" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand logs" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand logs" -s f -l follow -d 'Go on while the run does'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand logs" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand logs" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deliveries" -s n -l limit -d 'At most so many' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deliveries" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deliveries" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deliveries" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deliveries" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand deliveries" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand explain" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand explain" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand explain" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand explain" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand explain" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand plan" -l commit -d 'This commit instead of the branch\'s head (whole id)' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand plan" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand plan" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand plan" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand plan" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand plan" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and not __fish_seen_subcommand_from list retry drop help" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and not __fish_seen_subcommand_from list retry drop help" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and not __fish_seen_subcommand_from list retry drop help" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and not __fish_seen_subcommand_from list retry drop help" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and not __fish_seen_subcommand_from list retry drop help" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and not __fish_seen_subcommand_from list retry drop help" -f -a "list" -d 'What waits, what is worked on, what was set aside and why'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and not __fish_seen_subcommand_from list retry drop help" -f -a "retry" -d 'Put an entry that was set aside back into its queue'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and not __fish_seen_subcommand_from list retry drop help" -f -a "drop" -d 'Remove an entry that waits or was set aside'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and not __fish_seen_subcommand_from list retry drop help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from list" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from list" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from list" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from retry" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from retry" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from retry" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from retry" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from drop" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from drop" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from drop" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from drop" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from help" -f -a "list" -d 'What waits, what is worked on, what was set aside and why'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from help" -f -a "retry" -d 'Put an entry that was set aside back into its queue'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from help" -f -a "drop" -d 'Remove an entry that waits or was set aside'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand queue; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and not __fish_seen_subcommand_from push help" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and not __fish_seen_subcommand_from push help" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and not __fish_seen_subcommand_from push help" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and not __fish_seen_subcommand_from push help" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and not __fish_seen_subcommand_from push help" -f -a "push" -d 'A push of the branch\'s head, signed with the configured secret'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and not __fish_seen_subcommand_from push help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and __fish_seen_subcommand_from push" -l url -d 'Where the daemon listens [default: as the running daemon says]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and __fish_seen_subcommand_from push" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and __fish_seen_subcommand_from push" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and __fish_seen_subcommand_from push" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and __fish_seen_subcommand_from push" -l head-only -d 'Only print what the branch is at: root asks the mirror\'s owner so'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and __fish_seen_subcommand_from push" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and __fish_seen_subcommand_from push" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and __fish_seen_subcommand_from help" -f -a "push" -d 'A push of the branch\'s head, signed with the configured secret'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand simulate; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "create" -d 'Make the hooks that are missing; those that are there are shown'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "list" -d 'All hooks of the configured repositories'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "show" -d 'Our hooks in full, and what is wrong with them'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "ping" -d 'Make GitHub deliver a ping'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "test" -d 'Make GitHub deliver the latest push again'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "deliveries" -d 'What GitHub has delivered of late, and what was answered'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "redeliver" -d 'Make GitHub deliver again what it has delivered, or tried to, in the last three days'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "rotate-secret" -d 'Replace a secret; no push is lost meanwhile'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "delete" -d 'Remove a hook'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "relay" -d 'For development: take deliveries from GitHub and hand them, signed, to the daemon that runs here'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and not __fish_seen_subcommand_from create list show ping test deliveries redeliver rotate-secret delete relay help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from create" -l url -d 'Where the hook delivers to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from create" -l secret-file -d 'Where a new secret is written, if none is configured [default: webhook-secret beside the configuration]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from create" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from create" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from create" -l show-secret -d 'Print the secret'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from create" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from create" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from list" -l hook -d 'This hook, by its number at GitHub [default: the one that delivers here]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from list" -l url -d 'Where the hook delivers to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from list" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from list" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from list" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from show" -l hook -d 'This hook, by its number at GitHub [default: the one that delivers here]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from show" -l url -d 'Where the hook delivers to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from show" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from show" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from show" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from ping" -l hook -d 'This hook, by its number at GitHub [default: the one that delivers here]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from ping" -l url -d 'Where the hook delivers to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from ping" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from ping" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from ping" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from ping" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from ping" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from test" -l hook -d 'This hook, by its number at GitHub [default: the one that delivers here]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from test" -l url -d 'Where the hook delivers to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from test" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from test" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from test" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from test" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from deliveries" -l hook -d 'This hook, by its number at GitHub [default: the one that delivers here]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from deliveries" -l url -d 'Where the hook delivers to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from deliveries" -s n -l limit -d 'At most so many of each hook' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from deliveries" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from deliveries" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from deliveries" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from deliveries" -l failed -d 'Only those of which no attempt was answered with a success'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from deliveries" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from deliveries" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from redeliver" -l repository -d 'Only of this repository (OWNER/NAME) or deployment' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from redeliver" -l url -d 'Where the hook delivers to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from redeliver" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from redeliver" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from redeliver" -l failed -d 'All of which no attempt was answered with a success'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from redeliver" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from redeliver" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from redeliver" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from rotate-secret" -l url -d 'Where the hooks deliver to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from rotate-secret" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from rotate-secret" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from rotate-secret" -l restarted -d 'The daemon was restarted since the new secret was written (only where that cannot be seen from here)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from rotate-secret" -l show-secret -d 'Print the new secret'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from rotate-secret" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from rotate-secret" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from rotate-secret" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from delete" -l hook -d 'This hook, by its number at GitHub [default: the one that delivers here]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from delete" -l url -d 'Where the hook delivers to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from delete" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from delete" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from delete" -l force -d 'Also a hook that this instance lives on'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from delete" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from delete" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from relay" -l hook -d 'This hook, by its number at GitHub [default: the one with the URL]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from relay" -l url -d 'Where the hook delivers to [default: /github-webhook of the configured `origin`]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from relay" -l to -d 'Where the daemon listens [default: as the running daemon says]' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from relay" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from relay" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from relay" -l all -d 'Begin with the oldest that GitHub still has, instead of where it was left, or of now'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from relay" -l once -d 'End when everything has been handed over'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from relay" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from relay" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make the hooks that are missing; those that are there are shown'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "list" -d 'All hooks of the configured repositories'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "show" -d 'Our hooks in full, and what is wrong with them'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "ping" -d 'Make GitHub deliver a ping'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "test" -d 'Make GitHub deliver the latest push again'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "deliveries" -d 'What GitHub has delivered of late, and what was answered'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "redeliver" -d 'Make GitHub deliver again what it has delivered, or tried to, in the last three days'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "rotate-secret" -d 'Replace a secret; no push is lost meanwhile'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Remove a hook'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "relay" -d 'For development: take deliveries from GitHub and hand them, signed, to the daemon that runs here'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand doctor" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand doctor" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand doctor" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand doctor" -l of-state -d 'Only look at the state: root asks its owner so'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and not __fish_seen_subcommand_from check show schema reference help" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and not __fish_seen_subcommand_from check show schema reference help" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and not __fish_seen_subcommand_from check show schema reference help" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and not __fish_seen_subcommand_from check show schema reference help" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and not __fish_seen_subcommand_from check show schema reference help" -f -a "check" -d 'Say what is wrong, with file, line and column'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and not __fish_seen_subcommand_from check show schema reference help" -f -a "show" -d 'Show what is in force, and where each value comes from; secrets are hidden'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and not __fish_seen_subcommand_from check show schema reference help" -f -a "schema" -d 'Print the JSON Schema, for editors'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and not __fish_seen_subcommand_from check show schema reference help" -f -a "reference" -d 'Print the reference of all keys'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and not __fish_seen_subcommand_from check show schema reference help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from check" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from check" -l no-secrets -d 'Leave secrets aside, which whoever asks may not be able to read'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from check" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from show" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from schema" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from schema" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from schema" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from reference" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from reference" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from reference" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from reference" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Say what is wrong, with file, line and column'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show what is in force, and where each value comes from; secrets are hidden'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "schema" -d 'Print the JSON Schema, for editors'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "reference" -d 'Print the reference of all keys'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -f -a "up" -d 'Apply what is missing'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -f -a "check" -d 'Say whether what is missing can be applied to this database, and taken back; nothing is changed'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -f -a "status" -d 'Say what is applied'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -f -a "trust" -d 'Sign what is in the database, so that it is acted on: after an upgrade from 0.1.0 with PostgreSQL'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -f -a "down" -d 'Take the latest migrations back, with all that is recorded in their tables; while no daemon runs'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and not __fish_seen_subcommand_from up check status trust down help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from up" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from up" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from up" -l new -d 'Make an empty database although there was one: what it held is forgotten'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from up" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from up" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from check" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from check" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from check" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from status" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from status" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from status" -l json -d 'For machines'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from status" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from trust" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from trust" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from trust" -l yes -d 'You have looked at what is there, and nobody else can write to the database'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from trust" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from trust" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from down" -l steps -d 'How many' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from down" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from down" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from down" -l yes -d 'Do it without asking'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from down" -l has-backup -d 'PostgreSQL: you have a backup (`pg_dump`). SQLite is backed up beside its file by itself'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from down" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from down" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from help" -f -a "up" -d 'Apply what is missing'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from help" -f -a "check" -d 'Say whether what is missing can be applied to this database, and taken back; nothing is changed'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from help" -f -a "status" -d 'Say what is applied'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from help" -f -a "trust" -d 'Sign what is in the database, so that it is acted on: after an upgrade from 0.1.0 with PostgreSQL'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from help" -f -a "down" -d 'Take the latest migrations back, with all that is recorded in their tables; while no daemon runs'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand migrate; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand completions" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand completions" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand completions" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand completions" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand man" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand man" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand man" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand man" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand __generate" -l config -d 'Directory of the configuration\'s layers [default: /etc/durhack-deployer; where there is none, ./config]' -r -F
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand __generate" -l log -d 'How much the log says: error, warn, info, debug, trace, or a tracing filter' -r
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand __generate" -s h -l help -d 'Print help'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand __generate" -s V -l version -d 'Print version'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "demo" -d 'Show the whole way of a push in a temporary directory: three pushes, two releases, one failure'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "init" -d 'Look at a repository, and write a commented deployment for it'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "setup" -d 'Make this host receive pushes and deploy them, as a hardened service; or take that back'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "move-user" -d 'Give a deployment a user of its own, or another one, with its files and programs; as root'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "serve" -d 'Receive pushes and deploy them, in one process'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "listen" -d 'Receive pushes only; `work` deploys them'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "work" -d 'Deploy what `listen` has received'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "deploy" -d 'Deploy a branch\'s head, or one commit, and wait for the end'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "rollback" -d 'Go back to the release before the live one, or to a named one, and wait for the end'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "adopt" -d 'Turn a work tree that is deployed in place into releases, while it serves'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "approve" -d 'Approve the commit that waits, and wait for the end of its run'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "release" -d 'Let the commit that waits through a freeze, or lift the freeze for a while'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "cancel" -d 'Stop a run, and wait until nothing of it is left'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "status" -d 'What is live, what is running, what waits, and what is wrong on this host; exit code 1 says that something is'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "runs" -d 'The latest runs'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "run" -d 'One run, step by step'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "logs" -d 'What a run\'s commands printed; for a deployment, its newest run\'s'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "deliveries" -d 'The latest deliveries and what became of them'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "explain" -d 'What became of one delivery, and why'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "plan" -d 'What a deploy would do now; nothing is done'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "queue" -d 'What waits in the spools, and what was set aside'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "simulate" -d 'Send the running daemon what GitHub would send'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "webhook" -d 'Make, look at, try out, and remove the hooks at GitHub that deliver here'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "doctor" -d 'Look at everything the service needs, and say how to mend what is wrong; nothing is changed'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "config" -d 'Look at the configuration'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "migrate" -d 'Bring the database\'s schema up or down'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "completions" -d 'Print the completion script of a shell'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "man" -d 'Print the man page'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "__generate" -d 'Write the generated documents below a directory'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and not __fish_seen_subcommand_from demo init setup move-user serve listen work deploy rollback adopt approve release cancel status runs run logs deliveries explain plan queue simulate webhook doctor config migrate completions man __generate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from queue" -f -a "list" -d 'What waits, what is worked on, what was set aside and why'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from queue" -f -a "retry" -d 'Put an entry that was set aside back into its queue'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from queue" -f -a "drop" -d 'Remove an entry that waits or was set aside'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from simulate" -f -a "push" -d 'A push of the branch\'s head, signed with the configured secret'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "create" -d 'Make the hooks that are missing; those that are there are shown'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "list" -d 'All hooks of the configured repositories'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "show" -d 'Our hooks in full, and what is wrong with them'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "ping" -d 'Make GitHub deliver a ping'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "test" -d 'Make GitHub deliver the latest push again'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "deliveries" -d 'What GitHub has delivered of late, and what was answered'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "redeliver" -d 'Make GitHub deliver again what it has delivered, or tried to, in the last three days'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "rotate-secret" -d 'Replace a secret; no push is lost meanwhile'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "delete" -d 'Remove a hook'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "relay" -d 'For development: take deliveries from GitHub and hand them, signed, to the daemon that runs here'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Say what is wrong, with file, line and column'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Show what is in force, and where each value comes from; secrets are hidden'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "schema" -d 'Print the JSON Schema, for editors'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "reference" -d 'Print the reference of all keys'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from migrate" -f -a "up" -d 'Apply what is missing'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from migrate" -f -a "check" -d 'Say whether what is missing can be applied to this database, and taken back; nothing is changed'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from migrate" -f -a "status" -d 'Say what is applied'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from migrate" -f -a "trust" -d 'Sign what is in the database, so that it is acted on: after an upgrade from 0.1.0 with PostgreSQL'
complete -c durhack-deployer -n "__fish_durhack_deployer_using_subcommand help; and __fish_seen_subcommand_from migrate" -f -a "down" -d 'Take the latest migrations back, with all that is recorded in their tables; while no daemon runs'
