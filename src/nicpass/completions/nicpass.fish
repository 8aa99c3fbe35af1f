# SPDX-License-Identifier: Apache-2.0
# fish completion for nicpass; nicpass itself knows what may come next, and needs no rights for that.

function __nicpass_complete
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    set -l lines (nicpass --complete fish $words "$token" 2>/dev/null)
    switch "$lines[1]"
        case ':files'
            __fish_complete_path "$token"
        case ':folders'
            __fish_complete_directories "$token"
        case '*'
            printf '%s\n' $lines
    end
end

complete -c nicpass -f -a '(__nicpass_complete)'
