//! `completion`: what a shell reads to complete commands of the program where it is called by its own name.
//!
//! The scripts know nothing of commands: they ask the program, as the Docker CLI does, so that services and runs are
//! offered too.

use super::{Exit, args::Shell, entry::print};

/// Prints the script of a shell.
pub(super) fn run(shell: Shell) -> Exit {
    print(match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    })
}

const BASH: &str = r#"# Completion of docker-orch for bash. Below ~/.bashrc:  source <(docker-orch completion bash)
_docker_orch() {
    local line=${COMP_LINE:0:COMP_POINT} words answer next
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    mapfile -t answer < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    ((${#answer[@]})) || return
    next=${answer[-1]#:}
    unset 'answer[-1]'
    COMPREPLY=("${answer[@]%%$'\t'*}")
    # For bash the word begins behind a `=`; the value of a flag is answered so already.
    [[ ${words[-1]} == [^-]*=* ]] && COMPREPLY=("${COMPREPLY[@]#"${words[-1]%=*}="}")
    ((next & 2)) && compopt -o nospace
    if ((${#COMPREPLY[@]} == 0)); then
        case $next in
            0) compopt -o default ;;
            16) compopt -o dirnames ;;
        esac
    fi
}
complete -F _docker_orch docker-orch
"#;

const ZSH: &str = r#"#compdef docker-orch
# Completion of docker-orch for zsh. Below ~/.zshrc, after compinit:  source <(docker-orch completion zsh)
_docker_orch() {
    local -a answer described
    local line value next
    answer=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    next=${answer[-1]#:}
    for line in "${(@)answer[1,-2]}"; do
        value=${line%%$'\t'*}
        described+=("${value//:/\\:}${${line#$value}/$'\t'/:}")
    done
    [[ $PREFIX == -*=* ]] && compset -P '*='
    if (( $#described == 0 )); then
        [[ $next == 0 ]] && _files
        [[ $next == 16 ]] && _files -/
    elif (( next & 2 )); then
        _describe docker-orch described -S ''
    else
        _describe docker-orch described
    fi
}
compdef _docker_orch docker-orch
"#;

const FISH: &str = r#"# Completion of docker-orch for fish:  docker-orch completion fish > ~/.config/fish/completions/docker-orch.fish
function __docker_orch_complete
    set -l last (commandline -ct)
    set -l words (commandline -opc)
    set -l answer ($words[1] __complete $words[2..-1] "$last" 2>/dev/null)
    set -l flag (string match -r -- '^-[^=]*=' "$last")
    for line in $answer[1..-2]
        printf '%s\n' "$flag$line"
    end
    if test (count $answer) -eq 1
        switch $answer[-1]
            case ':0'
                __fish_complete_path "$last"
            case ':16'
                __fish_complete_directories "$last"
        end
    end
end
complete -c docker-orch -f -a '(__docker_orch_complete)'
"#;
