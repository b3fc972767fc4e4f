"""`specdl completion`: the script by which a shell completes `specdl`.

The scripts ask `specdl` itself, by click's protocol. They differ from click's own in that a proposal that isn't
finished (`train.epochs=`, `specs/`) gets no space behind it, and that a word may hold `=` and `:`, which bash takes
for the ends of words.
"""

from __future__ import annotations

import click

_BASH = """\
_specdl_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$' \\t\\n' current prefix response kind value
    local -a words
    read -r -a words <<< "$line"
    local number=${#words[@]}
    [[ $line == *[[:space:]] ]] || ((number--))
    current="${words[number]}"
    # What bash takes for words of their own must not be repeated.
    prefix=""
    if [[ $COMP_WORDBREAKS == *:* || $COMP_WORDBREAKS == *=* ]]; then
        prefix="${current%"${current##*[=:]}"}"
    fi
    COMPREPLY=()
    while IFS=',' read -r kind value; do
        [[ $kind == plain ]] || continue
        COMPREPLY+=("${value#"$prefix"}")
    done < <(COMP_WORDS="$line" COMP_CWORD=$number _SPECDL_COMPLETE=bash_complete "$1" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[.=:/] ]]; then
        compopt -o nospace
    fi
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o default
    fi
}
complete -o nosort -F _specdl_completion specdl
"""

_ZSH = """\
#compdef specdl
_specdl_completion() {
    local -a response open closed
    local kind value help
    local -x COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SPECDL_COMPLETE=zsh_complete
    response=("${(@f)$(${words[1]} 2>/dev/null)}")
    for kind value help in ${response}; do
        [[ $kind == plain ]] || continue
        # `:` parts a proposal from what it means, so one in a proposal has a backslash.
        if [[ ${value//\\\\:/:} == *[./=:] ]]; then
            [[ $help == _ ]] && open+=("${value}") || open+=("${value}:${help}")
        else
            [[ $help == _ ]] && closed+=("${value}") || closed+=("${value}:${help}")
        fi
    done
    (( ${#closed} )) && _describe -V closed closed -U
    (( ${#open} )) && _describe -V open open -U -S ''
    (( ${#open} + ${#closed} )) || _files
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _specdl_completion "$@"
else
    compdef _specdl_completion specdl
fi
"""

_FISH = """\
function __specdl_completion
    set -lx COMP_WORDS (commandline -cp)
    set -lx COMP_CWORD (commandline -t)
    set -lx _SPECDL_COMPLETE fish_complete
    for item in (specdl 2>/dev/null)
        set -l parts (string split -m 1 "," -- $item)
        if test "$parts[1]" = plain
            echo $parts[2]
        end
    end
end
complete --no-files --command specdl --arguments "(__specdl_completion)"
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
"""The script of each shell. fish itself puts no space behind `.`, `=`, `:` and `/`."""


@click.command("completion")
@click.argument("shell", type=click.Choice(sorted(SCRIPTS)))
def command(shell: str) -> None:
    """Print the script by which SHELL completes specdl.

    \b
    In ~/.bashrc:                  eval "$(specdl completion bash)"
    In ~/.zshrc, below compinit:   eval "$(specdl completion zsh)"
    Once, for fish:                specdl completion fish > ~/.config/fish/completions/specdl.fish

    Example: specdl completion bash
    """
    click.echo(SCRIPTS[shell], nl=False)
