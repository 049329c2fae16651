# What completes womm's command lines in bash, 4.2 or later. `womm completion bash` prints it below _womm_table, which
# knows this version's verbs and options: TAB starts no Python. It does without the bash-completion package.
#
# It runs in the user's own shell, whatever that has set: all variables are local and have a value, IFS is the usual one,
# programs are run past aliases and functions, and nothing reaches the terminal but words to choose from.
#
# The functions share _womm's variables:
#   words                                the line's words up to the cursor, as typed; the last is the one to complete
#   options, spare, values, rest, after  what may stand there: see Words in womm/commands/completion.py
#   kind                                 the kind of what comes next; empty: an option, or what rest or after says
#   kube, space                          the cluster that is meant, and the namespace there, as options of kubectl
#   whole, current                       the word to complete, and the part of it that is to be completed: x of --opt=x
#   typed                                what readline takes for that word
# shellcheck shell=bash

# _womm_split: fill $words. bash cuts at the characters of COMP_WORDBREAKS (a:b, --x=y, user@host); what no blank separates
# belongs together.
_womm_split() {
  local line=${COMP_LINE:0:COMP_POINT} blanks word index
  for ((index = 0; index <= COMP_CWORD; index++)); do
    blanks=${line%%[![:space:]]*}
    line=${line#"$blanks"}
    word=${COMP_WORDS[index]}
    # Of the last one, what follows the cursor doesn't count.
    ((index < COMP_CWORD)) || word=$line
    line=${line#"$word"}
    if [[ -n $blanks || $index -eq 0 ]]; then
      words+=("$word")
    else
      words[${#words[@]} - 1]+=$word
    fi
  done
}

# _womm_kind: set $kind to what the option $1 takes; empty if it takes nothing.
_womm_kind() {
  kind=
  [[ " $values " == *" $1="* ]] || return 0
  kind=" $values "
  kind=${kind#*" $1="}
  kind=${kind%% *}
}

# _womm_option: read the option $1, and set $name and $kind to what the next word is the value of.
_womm_option() {
  local letters
  name=${1%%=*}
  if [[ $1 == --*=* ]]; then
    _womm_value "${1#*=}"
    kind=
  elif [[ $1 == --* ]]; then
    _womm_kind "$name"
  else
    # -kj4 and -kj 4: the first letter that takes a value has what remains of the word, if anything does.
    for ((letters = 1; letters < ${#1}; letters++)); do
      name=-${1:letters:1}
      _womm_kind "$name"
      [[ -z $kind ]] || break
    done
    ((letters >= ${#1} - 1)) || kind=
  fi
}

# _womm_value: note what the value $1, as typed, of the option $name says about the cluster.
_womm_value() {
  local value=${1//[\"\'\\]/}
  case $name in
    --context | --kubeconfig)
      [[ $value != \~/* ]] || value=${HOME-}/${value#\~/}
      kube+=("$name=$value")
      ;;
    -n | --namespace) space=("--namespace=$value") ;;
  esac
}

# _womm_project: where the line names no cluster, add to $kube and $space what `womm setup` chose for this directory.
_womm_project() {
  local directory=$PWD text name
  [[ ${#kube[@]} -eq 0 ]] || return 0
  until [[ -e $directory/.womm || -z $directory ]]; do directory=${directory%/*}; done
  # Somebody else's may name a kubeconfig, and that one programs to run.
  [[ -f $directory/.womm && -O $directory/.womm && -r $directory/.womm ]] || return 0
  text=$(<"$directory/.womm")
  for name in context kubeconfig; do
    if [[ $text =~ \"$name\":\ *\"([^\"\\]+)\" ]]; then kube+=("--$name=${BASH_REMATCH[1]}"); fi
  done
  if [[ ${#space[@]} -eq 0 && $text =~ \"namespace\":\ *\"([a-z0-9-]+)\" ]]; then space=("--namespace=${BASH_REMATCH[1]}"); fi
}

# _womm_ask: offer the lines that kubectl prints for $2…, without $1 before each; none if it fails or takes longer than 1 s.
_womm_ask() {
  local prefix=$1 line lines=()
  shift
  _womm_project
  # The limit on read is for what has left kubectl's process group and keeps its stdout.
  while IFS= read -r -t 1 line; do
    printf -v line %q "${line#"$prefix"}"
    lines+=("$line")
  done < <(exec 2>/dev/null </dev/null && exec timeout -s KILL 1 kubectl "$@" ${kube[@]+"${kube[@]}"})
  _womm_offer ${lines[@]+"${lines[@]}"}
}

# _womm_offer: reply with those of $@ that begin with $current, or with what readline takes for it: it may have cut a word
# that we have joined.
_womm_offer() {
  local word cut=${whole%"$typed"}
  for word in "$@"; do
    [[ $word == "$current"* ]] || continue
    word=${whole%"$current"}$word
    COMPREPLY+=("${word#"$cut"}")
  done
}

# _womm_files: have readline complete a file.
_womm_files() {
  local word
  if [[ ${#typed} -le ${#current} ]]; then
    compopt -o default
    return
  fi
  # Where = doesn't cut words, --joblog=FILE is one for readline.
  compopt -o nospace
  while IFS= read -r word; do
    [[ ! -d $word ]] || word+=/
    COMPREPLY+=("${whole%"$current"}$word")
  done < <(builtin compgen -f -- "$current" 2>/dev/null)
}

# _womm_joblogs: offer the runs whose joblogs are kept, or files where there is none of that name.
_womm_joblogs() {
  local directory=${XDG_STATE_HOME-} file ids=()
  [[ $directory == /* ]] || directory=${HOME-}/.local/state
  while IFS= read -r file; do
    file=${file##*/}
    [[ $file != *.tsv ]] || ids+=("${file%.tsv}")
  done < <(builtin compgen -f -- "$directory/womm/joblogs/" 2>/dev/null)
  _womm_offer ${ids[@]+"${ids[@]}"}
  [[ ${#COMPREPLY[@]} -gt 0 ]] || _womm_files
}

# _womm_tasks: offer the tasks of the namespace that is meant. One of --async has two objects, and at its end the job alone.
_womm_tasks() {
  local task='{.metadata.labels.womm\.dev/task}{.metadata.labels.womm\.dev/async}'
  _womm_project
  _womm_ask '' get deployments,jobs -l app.kubernetes.io/managed-by=womm,app.kubernetes.io/name!=womm-server \
    -o "jsonpath={range .items[*]}$task{'\n'}{end}" ${space[@]+"${space[@]}"}
}

# _womm_commands: offer commands, or files where there is none of that name.
_womm_commands() {
  [[ $current == */* ]] || mapfile -t COMPREPLY < <(builtin compgen -c -- "$current" 2>/dev/null)
  [[ ${#COMPREPLY[@]} -gt 0 ]] || _womm_files
}

# _womm_complete: offer what can stand for $current, which is of the kind $1.
_womm_complete() {
  local list=${1#words:}
  # shellcheck disable=SC2086 # Our own words, without blanks and wildcards.
  case $1 in
    words:*) _womm_offer ${list//,/ } ;;
    file) _womm_files ;;
    command) _womm_commands ;;
    joblog) _womm_joblogs ;;
    task) _womm_tasks ;;
    variable) mapfile -t COMPREPLY < <(builtin compgen -v -- "$current") ;;
    context) _womm_ask '' config get-contexts -o name ;;
    namespace) _womm_ask namespace/ get namespaces -o name ;;
  esac
}

# _womm_read: read the words before the last one: set $verb and its table, $kind, and $place: how many words that are no
# options stand there; with $ended no options can follow.
_womm_read() {
  local word index name=
  for ((index = 1; index < ${#words[@]} - 1; index++)); do
    word=${words[index]}
    if [[ -n $kind && ! ($kind == maybe && $word == [-+]?*) ]]; then
      _womm_value "$word"
      kind=
    elif [[ $word =~ ^[0-9]*[\<\>] ]]; then
      # A redirection. Its file is the next word, if it isn't in this one.
      name=
      if [[ $word =~ [\<\>\|\&]$ ]]; then kind='file'; fi
    elif [[ -n $ended || $word != -?* ]]; then
      if [[ -z $verb ]]; then
        verb=$word
        _womm_table "$verb" || return 1
      else
        place=$((place + 1))
        # What follows a command is the command's own.
        [[ $rest != command ]] || ended=yes
      fi
    elif [[ $word == -- ]]; then
      ended=yes
      place=0
      kind=
    else
      _womm_option "$word"
    fi
  done
}

# _womm: complete the word at the cursor; $2 is what readline takes for it.
_womm() {
  local IFS=$' \t\n' typed=$2 words=() kube=() space=() options='' spare='' values='' rest='' after=''
  local kind='' verb='' place=0 ended='' whole current
  COMPREPLY=()
  _womm_split
  whole=${words[${#words[@]} - 1]}
  # An open quote is not the word's; readline has left it out of $typed, too.
  whole=${whole#[\"\']}
  current=$whole
  _womm_table ''
  _womm_read || return 0
  if [[ $kind == maybe && $current == -* ]]; then kind=; fi
  if [[ $whole =~ ^[0-9]*[\<\>] ]]; then
    kind='file'
    current=${whole##*[\<\>]}
  elif [[ -z $kind && -z $ended && $whole == --*=* ]]; then
    _womm_kind "${whole%%=*}"
    current=${whole#*=}
    [[ -n $kind ]] || return 0
  fi
  if [[ -n $kind ]]; then
    _womm_complete "$kind"
  elif [[ -z $ended && $current == -* ]]; then
    # shellcheck disable=SC2086 # Our own words, without blanks and wildcards.
    _womm_offer $options
    # shellcheck disable=SC2086
    [[ ${#COMPREPLY[@]} -gt 0 ]] || _womm_offer $spare
  else
    [[ -z $ended ]] || rest=$after
    # Behind a command stand its arguments, most often files; behind all others nothing.
    if [[ $place -eq 0 ]]; then
      _womm_complete "$rest"
    elif [[ $rest == command ]]; then
      _womm_files
    fi
  fi
}

complete -F _womm womm
