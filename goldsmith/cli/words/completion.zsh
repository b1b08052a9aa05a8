#compdef @PROGRAMS@
# Complete the words of @PROGRAMS@ in zsh, after compinit.
_goldsmith() {
    local -a shown
    local found line about
    found=$("${${(Q)words[1]}/#\~/$HOME}" --complete "${(@Q)words[2,CURRENT]}" 2> /dev/null)
    case $? in
        0) ;;
        3)
            compset -P '--*='
            _files
            return
            ;;
        *) return 1 ;;
    esac
    for line in "${(@f)found}"; do
        about=${line#*$'\t'}
        [[ -n $line ]] && shown+=("${${line%%$'\t'*}//:/\\:}${about:+:$about}")
    done
    _describe -V goldsmith shown
}
compdef _goldsmith @PROGRAMS@
