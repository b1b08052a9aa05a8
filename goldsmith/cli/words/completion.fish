# Complete the words of @PROGRAMS@ in fish.
function __goldsmith_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] --complete $words[2..-1] 2> /dev/null)
    switch $status
        case 0
            printf '%s\n' $found
        case 3
            set -l option (string match -r -- '^--[^=]*=' $words[-1])
            string replace -r -- '^' "$option" (__fish_complete_path (string replace -- "$option" '' $words[-1]))
    end
end
for program in @PROGRAMS@
    if string match -q '/*' $program
        complete -p $program -f -a '(__goldsmith_complete)'
    else
        complete -c $program -f -a '(__goldsmith_complete)'
    end
end
