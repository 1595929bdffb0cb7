#compdef durhack-deployer

autoload -U is-at-least

_durhack-deployer() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_durhack-deployer_commands" \
"*::: :->durhack-deployer" \
&& ret=0
    case $state in
    (durhack-deployer)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-command-$line[1]:"
        case $line[1] in
            (demo)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--keep[Go on serving at the end, and keep the directory]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(init)
_arguments "${_arguments_options[@]}" : \
'--branch=[Whose head is to be deployed \[default\: what is checked out there, else main or master\]]:NAME:_default' \
'--slug=[What the deployment is to be called \[default\: as the repository\]]:SLUG:_default' \
'--path=[Where it is to be deployed to \[default\: /var/www/SLUG\]]:DIR:_files' \
'--write=[Add it to this file, instead of printing it]:FILE:_files' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':repository -- `owner/name` on GitHub, a URL, or the directory of a repository on this machine:_default' \
&& ret=0
;;
(setup)
_arguments "${_arguments_options[@]}" : \
'(--uninstall)--origin=[How GitHub reaches this host, as in https\://deploy.example.org\: gives nginx a site for it]:URL:_default' \
'(--uninstall)--privileges=[How what needs root is done \[default\: as the configuration says, else helper\]]:WAY:((helper\:"By a helper that does what a list of root'\''s allows"
sudo\:"By sudo, with fixed rules; the worker is then confined less"))' \
'(--uninstall --origin --privileges --back)--from=[Move an installation of the Python tool here\: its checkout, which holds config/]:DIR:_files' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--dry-run[Say what would be done, and do nothing]' \
'--yes[Do not ask before it is done]' \
'--uninstall[Take back what setup has done; state, configuration and applications stay]' \
'--purge[State, configuration, secrets and the user go too; applications stay]' \
'(--uninstall --origin --privileges)--back[Undo --from\: the Python tool receives and deploys again]' \
'--json[With --from or --back\: print JSON]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(move-user)
_arguments "${_arguments_options[@]}" : \
'--to=[The new user \[default\: what is recorded for it, else app-SLUG\]; durhack-deployer is the deployer'\''s own, which deployments share]:USER:_default' \
'*--from=[Another user whose files in the deployment become the new one'\''s\: one that neither the configuration nor users.toml names any more]:USER:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--dry-run[Say what would be done, and do nothing]' \
'--yes[Do not ask before it is done]' \
'--no-deploy[Do not deploy the live commit once more at the end\: until somebody does, what is live runs as before]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':slug -- The deployment:_default' \
&& ret=0
;;
(serve)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--take-over[Take the place of the deployer whose socket is the standard input (it starts this itself when it is deployed)]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(listen)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(work)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--take-over[Take the place of the deployer whose socket is the standard input (it starts this itself when it is deployed)]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(deploy)
_arguments "${_arguments_options[@]}" : \
'--commit=[This commit instead of the branch'\''s head (whole id)]:ID:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--force[Also where the commit is live already, or would wait for checks, an approval or the end of a freeze]' \
'--no-wait[Do not wait for the end (needs a running daemon)]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':slug -- The deployment:_default' \
&& ret=0
;;
(rollback)
_arguments "${_arguments_options[@]}" : \
'--to=[Release name, or the beginning of its commit id \[default\: the one that was live before, so a second rollback is back where the first began\]]:RELEASE:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--no-wait[Do not wait for the end (needs a running daemon)]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':slug -- The deployment:_default' \
&& ret=0
;;
(adopt)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--dry-run[Say what would be done, and do nothing]' \
'--yes[Do not ask before it is done]' \
'--force[Also where files that git tracks were changed by hand, or (with --finish) programs still run in the old tree]' \
'--finish[Afterwards\: move what is left of the old tree aside]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':slug -- The deployment:_default' \
&& ret=0
;;
(approve)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--no-wait[Do not wait for the end (needs a running daemon)]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':slug -- The deployment:_default' \
'::commit -- The commit that is approved, or its beginning\: refused if another one waits by now:_default' \
&& ret=0
;;
(release)
_arguments "${_arguments_options[@]}" : \
'--until=[Not only for the commit that waits, but for all until then\: \`2026-12-23 18\:00\` (in \`freeze_timezone\`); one that has passed ends it]:TIME:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--no-wait[Do not wait for the end (needs a running daemon)]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':slug -- The deployment:_default' \
&& ret=0
;;
(cancel)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':what -- A deployment, or a run'\''s id or its beginning:_default' \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(runs)
_arguments "${_arguments_options[@]}" : \
'-n+[At most so many]:N:_default' \
'--limit=[At most so many]:N:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::slug -- Only of this deployment:_default' \
&& ret=0
;;
(run)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':id -- The run'\''s id, or its beginning:_default' \
&& ret=0
;;
(logs)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-f[Go on while the run does]' \
'--follow[Go on while the run does]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':what -- A deployment, or a run'\''s id or its beginning:_default' \
&& ret=0
;;
(deliveries)
_arguments "${_arguments_options[@]}" : \
'-n+[At most so many]:N:_default' \
'--limit=[At most so many]:N:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(explain)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':delivery -- The delivery'\''s GUID, as GitHub'\''s hook page shows it:_default' \
&& ret=0
;;
(plan)
_arguments "${_arguments_options[@]}" : \
'--commit=[This commit instead of the branch'\''s head (whole id)]:ID:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':slug -- The deployment:_default' \
&& ret=0
;;
(queue)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_durhack-deployer__subcmd__queue_commands" \
"*::: :->queue" \
&& ret=0

    case $state in
    (queue)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-queue-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(retry)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':entry -- Its name, as `queue list` shows it:_default' \
&& ret=0
;;
(drop)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':entry -- Its name, as `queue list` shows it:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__queue__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-queue-help-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(retry)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(drop)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(simulate)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_durhack-deployer__subcmd__simulate_commands" \
"*::: :->simulate" \
&& ret=0

    case $state in
    (simulate)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-simulate-command-$line[1]:"
        case $line[1] in
            (push)
_arguments "${_arguments_options[@]}" : \
'--url=[Where the daemon listens \[default\: as the running daemon says\]]:URL:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'--head-only[Only print what the branch is at\: root asks the mirror'\''s owner so]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':slug -- The deployment:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__simulate__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-simulate-help-command-$line[1]:"
        case $line[1] in
            (push)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(webhook)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_durhack-deployer__subcmd__webhook_commands" \
"*::: :->webhook" \
&& ret=0

    case $state in
    (webhook)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-webhook-command-$line[1]:"
        case $line[1] in
            (create)
_arguments "${_arguments_options[@]}" : \
'--url=[Where the hook delivers to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'--secret-file=[Where a new secret is written, if none is configured \[default\: webhook-secret beside the configuration\]]:FILE:_files' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--show-secret[Print the secret]' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::repository -- A repository (OWNER/NAME) or a deployment of it \[default\: every configured repository\]:_default' \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
'--hook=[This hook, by its number at GitHub \[default\: the one that delivers here\]]:ID:_default' \
'--url=[Where the hook delivers to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::repository -- A repository (OWNER/NAME) or a deployment of it \[default\: every configured repository\]:_default' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--hook=[This hook, by its number at GitHub \[default\: the one that delivers here\]]:ID:_default' \
'--url=[Where the hook delivers to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::repository -- A repository (OWNER/NAME) or a deployment of it \[default\: every configured repository\]:_default' \
&& ret=0
;;
(ping)
_arguments "${_arguments_options[@]}" : \
'--hook=[This hook, by its number at GitHub \[default\: the one that delivers here\]]:ID:_default' \
'--url=[Where the hook delivers to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::repository -- A repository (OWNER/NAME) or a deployment of it \[default\: every configured repository\]:_default' \
&& ret=0
;;
(test)
_arguments "${_arguments_options[@]}" : \
'--hook=[This hook, by its number at GitHub \[default\: the one that delivers here\]]:ID:_default' \
'--url=[Where the hook delivers to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::repository -- A repository (OWNER/NAME) or a deployment of it \[default\: every configured repository\]:_default' \
&& ret=0
;;
(deliveries)
_arguments "${_arguments_options[@]}" : \
'--hook=[This hook, by its number at GitHub \[default\: the one that delivers here\]]:ID:_default' \
'--url=[Where the hook delivers to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'-n+[At most so many of each hook]:N:_default' \
'--limit=[At most so many of each hook]:N:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'--failed[Only those of which no attempt was answered with a success]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::repository -- A repository (OWNER/NAME) or a deployment of it \[default\: every configured repository\]:_default' \
&& ret=0
;;
(redeliver)
_arguments "${_arguments_options[@]}" : \
'--repository=[Only of this repository (OWNER/NAME) or deployment]:REPOSITORY:_default' \
'--url=[Where the hook delivers to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'()--failed[All of which no attempt was answered with a success]' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'*::deliveries -- GUIDs of deliveries, as `webhook deliveries` shows them:_default' \
&& ret=0
;;
(rotate-secret)
_arguments "${_arguments_options[@]}" : \
'--url=[Where the hooks deliver to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--restarted[The daemon was restarted since the new secret was written (only where that cannot be seen from here)]' \
'--show-secret[Print the new secret]' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::repository -- A repository (OWNER/NAME) or a deployment of it \[default\: every configured repository\]:_default' \
&& ret=0
;;
(delete)
_arguments "${_arguments_options[@]}" : \
'--hook=[This hook, by its number at GitHub \[default\: the one that delivers here\]]:ID:_default' \
'--url=[Where the hook delivers to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--force[Also a hook that this instance lives on]' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':repository -- The repository (OWNER/NAME) or a deployment of it:_default' \
&& ret=0
;;
(relay)
_arguments "${_arguments_options[@]}" : \
'--hook=[This hook, by its number at GitHub \[default\: the one with the URL\]]:ID:_default' \
'--url=[Where the hook delivers to \[default\: /github-webhook of the configured \`origin\`\]]:URL:_default' \
'--to=[Where the daemon listens \[default\: as the running daemon says\]]:URL:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--all[Begin with the oldest that GitHub still has, instead of where it was left, or of now]' \
'--once[End when everything has been handed over]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':repository -- The repository (OWNER/NAME) or a deployment of it:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__webhook__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-webhook-help-command-$line[1]:"
        case $line[1] in
            (create)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(ping)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(test)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(deliveries)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(redeliver)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rotate-secret)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(delete)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(relay)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(doctor)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'--of-state[Only look at the state\: root asks its owner so]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(config)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_durhack-deployer__subcmd__config_commands" \
"*::: :->config" \
&& ret=0

    case $state in
    (config)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-config-command-$line[1]:"
        case $line[1] in
            (check)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--no-secrets[Leave secrets aside, which whoever asks may not be able to read]' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(schema)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(reference)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__config__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-config-help-command-$line[1]:"
        case $line[1] in
            (check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(schema)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(reference)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(migrate)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_durhack-deployer__subcmd__migrate_commands" \
"*::: :->migrate" \
&& ret=0

    case $state in
    (migrate)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-migrate-command-$line[1]:"
        case $line[1] in
            (up)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--new[Make an empty database although there was one\: what it held is forgotten]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--json[For machines]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(trust)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--yes[You have looked at what is there, and nobody else can write to the database]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(down)
_arguments "${_arguments_options[@]}" : \
'--steps=[How many]:STEPS:_default' \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'--yes[Do it without asking]' \
'--has-backup[PostgreSQL\: you have a backup (\`pg_dump\`). SQLite is backed up beside its file by itself]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__migrate__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-migrate-help-command-$line[1]:"
        case $line[1] in
            (up)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(trust)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(down)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(completions)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':shell -- Which shell:(bash elvish fish powershell zsh)' \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(__generate)
_arguments "${_arguments_options[@]}" : \
'--config=[Directory of the configuration'\''s layers \[default\: /etc/durhack-deployer; where there is none, ./config\]]:DIR:_files' \
'--log=[How much the log says\: error, warn, info, debug, trace, or a tracing filter]:LEVEL:_default' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':directory -- The repository'\''s root:_files' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-help-command-$line[1]:"
        case $line[1] in
            (demo)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(init)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(setup)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(move-user)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(serve)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(listen)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(work)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(deploy)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rollback)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(adopt)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(approve)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(release)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(cancel)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(runs)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(run)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(logs)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(deliveries)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(explain)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(plan)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(queue)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__help__subcmd__queue_commands" \
"*::: :->queue" \
&& ret=0

    case $state in
    (queue)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-help-queue-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(retry)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(drop)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(simulate)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__help__subcmd__simulate_commands" \
"*::: :->simulate" \
&& ret=0

    case $state in
    (simulate)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-help-simulate-command-$line[1]:"
        case $line[1] in
            (push)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(webhook)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__help__subcmd__webhook_commands" \
"*::: :->webhook" \
&& ret=0

    case $state in
    (webhook)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-help-webhook-command-$line[1]:"
        case $line[1] in
            (create)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(ping)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(test)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(deliveries)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(redeliver)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rotate-secret)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(delete)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(relay)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(doctor)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(config)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__help__subcmd__config_commands" \
"*::: :->config" \
&& ret=0

    case $state in
    (config)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-help-config-command-$line[1]:"
        case $line[1] in
            (check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(schema)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(reference)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(migrate)
_arguments "${_arguments_options[@]}" : \
":: :_durhack-deployer__subcmd__help__subcmd__migrate_commands" \
"*::: :->migrate" \
&& ret=0

    case $state in
    (migrate)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:durhack-deployer-help-migrate-command-$line[1]:"
        case $line[1] in
            (up)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(trust)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(down)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(completions)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(__generate)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
}

(( $+functions[_durhack-deployer_commands] )) ||
_durhack-deployer_commands() {
    local commands; commands=(
'demo:Show the whole way of a push in a temporary directory\: three pushes, two releases, one failure' \
'init:Look at a repository, and write a commented deployment for it' \
'setup:Make this host receive pushes and deploy them, as a hardened service; or take that back' \
'move-user:Give a deployment a user of its own, or another one, with its files and programs; as root' \
'serve:Receive pushes and deploy them, in one process' \
'listen:Receive pushes only; \`work\` deploys them' \
'work:Deploy what \`listen\` has received' \
'deploy:Deploy a branch'\''s head, or one commit, and wait for the end' \
'rollback:Go back to the release before the live one, or to a named one, and wait for the end' \
'adopt:Turn a work tree that is deployed in place into releases, while it serves' \
'approve:Approve the commit that waits, and wait for the end of its run' \
'release:Let the commit that waits through a freeze, or lift the freeze for a while' \
'cancel:Stop a run, and wait until nothing of it is left' \
'status:What is live, what is running, what waits, and what is wrong on this host; exit code 1 says that something is' \
'runs:The latest runs' \
'run:One run, step by step' \
'logs:What a run'\''s commands printed; for a deployment, its newest run'\''s' \
'deliveries:The latest deliveries and what became of them' \
'explain:What became of one delivery, and why' \
'plan:What a deploy would do now; nothing is done' \
'queue:What waits in the spools, and what was set aside' \
'simulate:Send the running daemon what GitHub would send' \
'webhook:Make, look at, try out, and remove the hooks at GitHub that deliver here' \
'doctor:Look at everything the service needs, and say how to mend what is wrong; nothing is changed' \
'config:Look at the configuration' \
'migrate:Bring the database'\''s schema up or down' \
'completions:Print the completion script of a shell' \
'man:Print the man page' \
'__generate:Write the generated documents below a directory' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd____generate_commands] )) ||
_durhack-deployer__subcmd____generate_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer __generate commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__adopt_commands] )) ||
_durhack-deployer__subcmd__adopt_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer adopt commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__approve_commands] )) ||
_durhack-deployer__subcmd__approve_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer approve commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__cancel_commands] )) ||
_durhack-deployer__subcmd__cancel_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer cancel commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__completions_commands] )) ||
_durhack-deployer__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer completions commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config_commands] )) ||
_durhack-deployer__subcmd__config_commands() {
    local commands; commands=(
'check:Say what is wrong, with file, line and column' \
'show:Show what is in force, and where each value comes from; secrets are hidden' \
'schema:Print the JSON Schema, for editors' \
'reference:Print the reference of all keys' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer config commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__check_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer config check commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__help_commands() {
    local commands; commands=(
'check:Say what is wrong, with file, line and column' \
'show:Show what is in force, and where each value comes from; secrets are hidden' \
'schema:Print the JSON Schema, for editors' \
'reference:Print the reference of all keys' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer config help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__help__subcmd__check_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__help__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer config help check commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__help__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer config help help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__help__subcmd__reference_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__help__subcmd__reference_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer config help reference commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__help__subcmd__schema_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__help__subcmd__schema_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer config help schema commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__help__subcmd__show_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__help__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer config help show commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__reference_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__reference_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer config reference commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__schema_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__schema_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer config schema commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__config__subcmd__show_commands] )) ||
_durhack-deployer__subcmd__config__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer config show commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__deliveries_commands] )) ||
_durhack-deployer__subcmd__deliveries_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer deliveries commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__demo_commands] )) ||
_durhack-deployer__subcmd__demo_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer demo commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__deploy_commands] )) ||
_durhack-deployer__subcmd__deploy_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer deploy commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__doctor_commands] )) ||
_durhack-deployer__subcmd__doctor_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer doctor commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__explain_commands] )) ||
_durhack-deployer__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer explain commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__help_commands() {
    local commands; commands=(
'demo:Show the whole way of a push in a temporary directory\: three pushes, two releases, one failure' \
'init:Look at a repository, and write a commented deployment for it' \
'setup:Make this host receive pushes and deploy them, as a hardened service; or take that back' \
'move-user:Give a deployment a user of its own, or another one, with its files and programs; as root' \
'serve:Receive pushes and deploy them, in one process' \
'listen:Receive pushes only; \`work\` deploys them' \
'work:Deploy what \`listen\` has received' \
'deploy:Deploy a branch'\''s head, or one commit, and wait for the end' \
'rollback:Go back to the release before the live one, or to a named one, and wait for the end' \
'adopt:Turn a work tree that is deployed in place into releases, while it serves' \
'approve:Approve the commit that waits, and wait for the end of its run' \
'release:Let the commit that waits through a freeze, or lift the freeze for a while' \
'cancel:Stop a run, and wait until nothing of it is left' \
'status:What is live, what is running, what waits, and what is wrong on this host; exit code 1 says that something is' \
'runs:The latest runs' \
'run:One run, step by step' \
'logs:What a run'\''s commands printed; for a deployment, its newest run'\''s' \
'deliveries:The latest deliveries and what became of them' \
'explain:What became of one delivery, and why' \
'plan:What a deploy would do now; nothing is done' \
'queue:What waits in the spools, and what was set aside' \
'simulate:Send the running daemon what GitHub would send' \
'webhook:Make, look at, try out, and remove the hooks at GitHub that deliver here' \
'doctor:Look at everything the service needs, and say how to mend what is wrong; nothing is changed' \
'config:Look at the configuration' \
'migrate:Bring the database'\''s schema up or down' \
'completions:Print the completion script of a shell' \
'man:Print the man page' \
'__generate:Write the generated documents below a directory' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd____generate_commands] )) ||
_durhack-deployer__subcmd__help__subcmd____generate_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help __generate commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__adopt_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__adopt_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help adopt commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__approve_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__approve_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help approve commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__cancel_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__cancel_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help cancel commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__completions_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help completions commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__config_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__config_commands() {
    local commands; commands=(
'check:Say what is wrong, with file, line and column' \
'show:Show what is in force, and where each value comes from; secrets are hidden' \
'schema:Print the JSON Schema, for editors' \
'reference:Print the reference of all keys' \
    )
    _describe -t commands 'durhack-deployer help config commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__config__subcmd__check_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__config__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help config check commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__config__subcmd__reference_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__config__subcmd__reference_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help config reference commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__config__subcmd__schema_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__config__subcmd__schema_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help config schema commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__config__subcmd__show_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__config__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help config show commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__deliveries_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__deliveries_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help deliveries commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__demo_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__demo_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help demo commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__deploy_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__deploy_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help deploy commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__doctor_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__doctor_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help doctor commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__explain_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help explain commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__init_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__init_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help init commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__listen_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__listen_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help listen commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__logs_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__logs_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help logs commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__man_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help man commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__migrate_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__migrate_commands() {
    local commands; commands=(
'up:Apply what is missing' \
'check:Say whether what is missing can be applied to this database, and taken back; nothing is changed' \
'status:Say what is applied' \
'trust:Sign what is in the database, so that it is acted on\: after an upgrade from 0.1.0 with PostgreSQL' \
'down:Take the latest migrations back, with all that is recorded in their tables; while no daemon runs' \
    )
    _describe -t commands 'durhack-deployer help migrate commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__check_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help migrate check commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__down_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__down_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help migrate down commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__status_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help migrate status commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__trust_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__trust_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help migrate trust commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__up_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__migrate__subcmd__up_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help migrate up commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__move-user_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__move-user_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help move-user commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__plan_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__plan_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help plan commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__queue_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__queue_commands() {
    local commands; commands=(
'list:What waits, what is worked on, what was set aside and why' \
'retry:Put an entry that was set aside back into its queue' \
'drop:Remove an entry that waits or was set aside' \
    )
    _describe -t commands 'durhack-deployer help queue commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__queue__subcmd__drop_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__queue__subcmd__drop_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help queue drop commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__queue__subcmd__list_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__queue__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help queue list commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__queue__subcmd__retry_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__queue__subcmd__retry_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help queue retry commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__release_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__release_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help release commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__rollback_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__rollback_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help rollback commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__run_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__run_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help run commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__runs_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__runs_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help runs commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__serve_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__serve_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help serve commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__setup_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__setup_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help setup commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__simulate_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__simulate_commands() {
    local commands; commands=(
'push:A push of the branch'\''s head, signed with the configured secret' \
    )
    _describe -t commands 'durhack-deployer help simulate commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__simulate__subcmd__push_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__simulate__subcmd__push_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help simulate push commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__status_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help status commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook_commands() {
    local commands; commands=(
'create:Make the hooks that are missing; those that are there are shown' \
'list:All hooks of the configured repositories' \
'show:Our hooks in full, and what is wrong with them' \
'ping:Make GitHub deliver a ping' \
'test:Make GitHub deliver the latest push again' \
'deliveries:What GitHub has delivered of late, and what was answered' \
'redeliver:Make GitHub deliver again what it has delivered, or tried to, in the last three days' \
'rotate-secret:Replace a secret; no push is lost meanwhile' \
'delete:Remove a hook' \
'relay:For development\: take deliveries from GitHub and hand them, signed, to the daemon that runs here' \
    )
    _describe -t commands 'durhack-deployer help webhook commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__create_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__create_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook create commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__delete_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__delete_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook delete commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__deliveries_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__deliveries_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook deliveries commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__list_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook list commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__ping_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__ping_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook ping commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__redeliver_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__redeliver_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook redeliver commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__relay_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__relay_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook relay commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__rotate-secret_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__rotate-secret_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook rotate-secret commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__show_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook show commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__test_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__webhook__subcmd__test_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help webhook test commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__help__subcmd__work_commands] )) ||
_durhack-deployer__subcmd__help__subcmd__work_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer help work commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__init_commands] )) ||
_durhack-deployer__subcmd__init_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer init commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__listen_commands] )) ||
_durhack-deployer__subcmd__listen_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer listen commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__logs_commands] )) ||
_durhack-deployer__subcmd__logs_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer logs commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__man_commands] )) ||
_durhack-deployer__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer man commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate_commands] )) ||
_durhack-deployer__subcmd__migrate_commands() {
    local commands; commands=(
'up:Apply what is missing' \
'check:Say whether what is missing can be applied to this database, and taken back; nothing is changed' \
'status:Say what is applied' \
'trust:Sign what is in the database, so that it is acted on\: after an upgrade from 0.1.0 with PostgreSQL' \
'down:Take the latest migrations back, with all that is recorded in their tables; while no daemon runs' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer migrate commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__check_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate check commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__down_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__down_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate down commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__help_commands() {
    local commands; commands=(
'up:Apply what is missing' \
'check:Say whether what is missing can be applied to this database, and taken back; nothing is changed' \
'status:Say what is applied' \
'trust:Sign what is in the database, so that it is acted on\: after an upgrade from 0.1.0 with PostgreSQL' \
'down:Take the latest migrations back, with all that is recorded in their tables; while no daemon runs' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer migrate help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__check_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate help check commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__down_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__down_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate help down commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate help help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__status_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate help status commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__trust_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__trust_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate help trust commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__up_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__help__subcmd__up_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate help up commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__status_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate status commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__trust_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__trust_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate trust commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__migrate__subcmd__up_commands] )) ||
_durhack-deployer__subcmd__migrate__subcmd__up_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer migrate up commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__move-user_commands] )) ||
_durhack-deployer__subcmd__move-user_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer move-user commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__plan_commands] )) ||
_durhack-deployer__subcmd__plan_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer plan commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__queue_commands] )) ||
_durhack-deployer__subcmd__queue_commands() {
    local commands; commands=(
'list:What waits, what is worked on, what was set aside and why' \
'retry:Put an entry that was set aside back into its queue' \
'drop:Remove an entry that waits or was set aside' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer queue commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__queue__subcmd__drop_commands] )) ||
_durhack-deployer__subcmd__queue__subcmd__drop_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer queue drop commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__queue__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__queue__subcmd__help_commands() {
    local commands; commands=(
'list:What waits, what is worked on, what was set aside and why' \
'retry:Put an entry that was set aside back into its queue' \
'drop:Remove an entry that waits or was set aside' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer queue help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__queue__subcmd__help__subcmd__drop_commands] )) ||
_durhack-deployer__subcmd__queue__subcmd__help__subcmd__drop_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer queue help drop commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__queue__subcmd__help__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__queue__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer queue help help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__queue__subcmd__help__subcmd__list_commands] )) ||
_durhack-deployer__subcmd__queue__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer queue help list commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__queue__subcmd__help__subcmd__retry_commands] )) ||
_durhack-deployer__subcmd__queue__subcmd__help__subcmd__retry_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer queue help retry commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__queue__subcmd__list_commands] )) ||
_durhack-deployer__subcmd__queue__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer queue list commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__queue__subcmd__retry_commands] )) ||
_durhack-deployer__subcmd__queue__subcmd__retry_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer queue retry commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__release_commands] )) ||
_durhack-deployer__subcmd__release_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer release commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__rollback_commands] )) ||
_durhack-deployer__subcmd__rollback_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer rollback commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__run_commands] )) ||
_durhack-deployer__subcmd__run_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer run commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__runs_commands] )) ||
_durhack-deployer__subcmd__runs_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer runs commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__serve_commands] )) ||
_durhack-deployer__subcmd__serve_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer serve commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__setup_commands] )) ||
_durhack-deployer__subcmd__setup_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer setup commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__simulate_commands] )) ||
_durhack-deployer__subcmd__simulate_commands() {
    local commands; commands=(
'push:A push of the branch'\''s head, signed with the configured secret' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer simulate commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__simulate__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__simulate__subcmd__help_commands() {
    local commands; commands=(
'push:A push of the branch'\''s head, signed with the configured secret' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer simulate help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__simulate__subcmd__help__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__simulate__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer simulate help help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__simulate__subcmd__help__subcmd__push_commands] )) ||
_durhack-deployer__subcmd__simulate__subcmd__help__subcmd__push_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer simulate help push commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__simulate__subcmd__push_commands] )) ||
_durhack-deployer__subcmd__simulate__subcmd__push_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer simulate push commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__status_commands] )) ||
_durhack-deployer__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer status commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook_commands] )) ||
_durhack-deployer__subcmd__webhook_commands() {
    local commands; commands=(
'create:Make the hooks that are missing; those that are there are shown' \
'list:All hooks of the configured repositories' \
'show:Our hooks in full, and what is wrong with them' \
'ping:Make GitHub deliver a ping' \
'test:Make GitHub deliver the latest push again' \
'deliveries:What GitHub has delivered of late, and what was answered' \
'redeliver:Make GitHub deliver again what it has delivered, or tried to, in the last three days' \
'rotate-secret:Replace a secret; no push is lost meanwhile' \
'delete:Remove a hook' \
'relay:For development\: take deliveries from GitHub and hand them, signed, to the daemon that runs here' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer webhook commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__create_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__create_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook create commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__delete_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__delete_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook delete commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__deliveries_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__deliveries_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook deliveries commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help_commands() {
    local commands; commands=(
'create:Make the hooks that are missing; those that are there are shown' \
'list:All hooks of the configured repositories' \
'show:Our hooks in full, and what is wrong with them' \
'ping:Make GitHub deliver a ping' \
'test:Make GitHub deliver the latest push again' \
'deliveries:What GitHub has delivered of late, and what was answered' \
'redeliver:Make GitHub deliver again what it has delivered, or tried to, in the last three days' \
'rotate-secret:Replace a secret; no push is lost meanwhile' \
'delete:Remove a hook' \
'relay:For development\: take deliveries from GitHub and hand them, signed, to the daemon that runs here' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'durhack-deployer webhook help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__create_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__create_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help create commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__delete_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__delete_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help delete commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__deliveries_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__deliveries_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help deliveries commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__help_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help help commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__list_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help list commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__ping_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__ping_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help ping commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__redeliver_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__redeliver_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help redeliver commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__relay_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__relay_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help relay commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__rotate-secret_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__rotate-secret_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help rotate-secret commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__show_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help show commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__test_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__help__subcmd__test_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook help test commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__list_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook list commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__ping_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__ping_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook ping commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__redeliver_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__redeliver_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook redeliver commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__relay_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__relay_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook relay commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__rotate-secret_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__rotate-secret_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook rotate-secret commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__show_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook show commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__webhook__subcmd__test_commands] )) ||
_durhack-deployer__subcmd__webhook__subcmd__test_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer webhook test commands' commands "$@"
}
(( $+functions[_durhack-deployer__subcmd__work_commands] )) ||
_durhack-deployer__subcmd__work_commands() {
    local commands; commands=()
    _describe -t commands 'durhack-deployer work commands' commands "$@"
}

if [ "$funcstack[1]" = "_durhack-deployer" ]; then
    _durhack-deployer "$@"
else
    compdef _durhack-deployer durhack-deployer
fi
