/*
 * What a shell evaluates. The shells only pass on the words: `ripstop complete` finds the candidates, so that all shells
 * agree with the options of the installed version.
 */

/** bash splits words at `=` and `:`, and joins them here again. */
const BASH = `# bash completion of ripstop; ripstop completion bash > /etc/bash_completion.d/ripstop
_ripstop() {
  local words=() word value rest
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if [[ \${#words[@]} -gt 0 && ( $word == [=:] || \${words[-1]} == *[=:] ) ]]; then words[-1]+=$word
    else words+=("$word"); fi
  done
  # The part up to the last = or : is on the line already.
  rest=\${words[-1]}
  [[ $rest == *[=:]* ]] && rest=\${rest%"\${rest##*[=:]}"} || rest=
  COMPREPLY=()
  while IFS=$'\\t' read -r value _; do COMPREPLY+=("\${value#"$rest"}"); done < <(
    "\${COMP_WORDS[0]}" complete -- "\${words[@]}" 2>/dev/null
  )
}
complete -o default -F _ripstop ripstop
`;

const ZSH = `#compdef ripstop
# zsh completion of ripstop; ripstop completion zsh > "\${fpath[1]}/_ripstop"
_ripstop() {
  local -a candidates
  local line
  for line in "\${(@f)$("\${words[1]}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( \${#candidates} )); then _describe ripstop candidates; else _files; fi
}
if [[ $funcstack[1] == _ripstop ]]; then _ripstop "$@"; else compdef _ripstop ripstop; fi
`;

const FISH = `# fish completion of ripstop; ripstop completion fish > ~/.config/fish/completions/ripstop.fish
complete -c ripstop -k -a '(ripstop complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`;

/** By the name of the shell. */
export const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;

export type Shell = keyof typeof SCRIPTS;

export const SHELLS = Object.keys(SCRIPTS) as Shell[];
