# SPDX-License-Identifier: Apache-2.0
# bash completion for nicpass; nicpass itself knows what may come next, and needs no rights for that.

_nicpass() {
    COMPREPLY=()
    mapfile -t COMPREPLY < <(nicpass --complete bash "$COMP_LINE" "$COMP_POINT" "$COMP_WORDBREAKS" 2>/dev/null)
    case ${COMPREPLY[0]-} in
        :files) COMPREPLY=(); compopt -o default ;;
        :folders) COMPREPLY=(); compopt -o dirnames ;;
    esac
}

complete -F _nicpass nicpass
