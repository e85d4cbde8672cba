//! Shell completions.

use clap::Command;
use clap_complete::Shell;

/// Bash code that follows the code of clap. It completes the command after `--` and after the file of
/// `flock`.
const BASH_COMMAND: &str = r#"
_touchfile_or_command() {
    local i start=
    case "${COMP_WORDS[1]}" in
        run | flock)
            for ((i = 2; i < COMP_CWORD; i++)); do
                if [[ ${COMP_WORDS[i]} == -- ]]; then
                    start=$((i + 1))
                    break
                fi
            done
            ;;
    esac
    if [[ -z $start ]]; then
        _touchfile "$@"
    elif declare -F _comp_command_offset > /dev/null; then
        _comp_command_offset "$start"
    elif declare -F _command_offset > /dev/null; then
        _command_offset "$start"
    elif ((start == COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
    else
        COMPREPLY=()
    fi
}
complete -F _touchfile_or_command -o bashdefault -o default touchfile
"#;

/// The completion script for `shell`.
pub(super) fn of(mut command: Command, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "touchfile", &mut script);
    if shell == Shell::Bash {
        script.extend_from_slice(BASH_COMMAND.as_bytes());
    }
    script
}
