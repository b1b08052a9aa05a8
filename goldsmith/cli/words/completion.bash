# Complete the words of @PROGRAMS@ in bash.
_goldsmith() {
    local -a words=()
    local i word found status glued=
    for ((i = 1; i <= COMP_CWORD; i++)); do # bash takes --out=x apart into three words
        word=${COMP_WORDS[i]}
        if [ "$word" = = ] || [ "$glued" ]; then
            words[${#words[@]} - 1]+=$word
            glued=
            if [ "$word" = = ]; then glued=yes; fi
        else
            words+=("$word")
        fi
    done
    found=$("${1/#\~/$HOME}" --complete "${words[@]}" 2> /dev/null)
    status=$?
    COMPREPLY=()
    if [ $status = 3 ]; then
        compopt -o default
    elif [ $status = 0 ] && [ "$found" ]; then
        word=${words[${#words[@]} - 1]}
        glued=
        if [[ $word == --*=* ]]; then glued=${word%%=*}=; fi
        while IFS=$'\t' read -r word _; do
            COMPREPLY+=("${word#"$glued"}")
        done <<< "$found"
    fi
}
complete -F _goldsmith @PROGRAMS@
