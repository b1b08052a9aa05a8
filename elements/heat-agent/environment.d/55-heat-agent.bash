export DIB_HEAT_HOOKS="${DIB_HEAT_HOOKS:-script}"
export DIB_HEAT_POLLING_INTERVAL="${DIB_HEAT_POLLING_INTERVAL:-30}"
# conditions for package-installs: true if a hook is among them
for hook in ansible puppet; do
    if [[ " ${DIB_HEAT_HOOKS} " == *" ${hook} "* ]]; then
        export "DIB_HEAT_HOOK_${hook^^}=1"
    else
        export "DIB_HEAT_HOOK_${hook^^}=0"
    fi
done
