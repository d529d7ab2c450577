#compdef kolo
# Completion of kolo for zsh. Made by "kolo completion zsh"; not to be edited.

# What only this machine knows: "value<tab>what it is", a line each.
__kolo_ask() {
    local -a lines described
    local line
    lines=("${(@f)$(_call_program kolo ${(q)__kolo_program} __complete ${(q)@} 2>/dev/null)}")
    for line in $lines; do
        if [[ $line == *$'\t'* ]]; then
            described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
            described+=("${line//:/\\:}")
        fi
    done
    (( $#described )) && _describe -t "kolo-$1" "${1//-/ }" described
}

__kolo_models() {
    [[ $PREFIX != (*/*|.*|\~*) ]] && __kolo_ask models && return
    _files -g '*.(gguf|GGUF)(-.)'
}

__kolo_references() {
    local -a kinds=('hf:' 'ollama:' 'oci:' 'https://')
    _alternative 'kinds:source:compadd -S "" -a kinds' 'files:file:_files'
}

_kolo_help() {
    _arguments -S -s \
        '(--json)--json[One JSON object]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '*:TOPIC:(exit-codes env json names output chat complete embed serve ps top load unload logs reload keys audit service pull ls show rm alias rollback verify prune bench doctor config completion path help)'
}

_kolo_path() {
    _arguments -S -s \
        '(--json)--json[An object, from name to path]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:NAME:(config data state cache runtime prefixes monitor)'
}

_kolo_completion_zsh() {
    _arguments -S -s \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_completion_uninstall() {
    _arguments -S -s \
        '(--dry-run)--dry-run[Show what would be done, and do nothing]' \
        '(--json)--json[An object, as of kolo completion install]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:SHELL:(bash zsh fish)'
}

_kolo_completion_install() {
    _arguments -S -s \
        '(--no-rc)--no-rc[Change no start-up file of the shell]' \
        '(--dry-run)--dry-run[Show what would be done, and do nothing]' \
        '(--json)--json[An object\: shell, file, rc, changed (the files), dry_run, next]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:SHELL:(bash zsh fish)'
}

_kolo_completion_fish() {
    _arguments -S -s \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_completion_bash() {
    _arguments -S -s \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_completion() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C -S -s \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            local -a commands=(
                'bash:Print the script for bash'
                'fish:Print the script for fish'
                'install:Put the script where your shell looks'
                'uninstall:Take it away again'
                'zsh:Print the script for zsh'
            )
            _describe -t commands command commands
            ;;
        rest)
            case $line[1] in
                bash) _kolo_completion_bash ;;
                fish) _kolo_completion_fish ;;
                install) _kolo_completion_install ;;
                uninstall) _kolo_completion_uninstall ;;
                zsh) _kolo_completion_zsh ;;
            esac
            ;;
    esac
}

_kolo_config_schema() {
    _arguments -S -s \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_config_path() {
    _arguments -S -s \
        '(--json)--json[An object\: file, exists, and whether KOLO_CONFIG names it]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_config_validate() {
    _arguments -S -s \
        '(--json)--json[An array of objects\: place, file, line, key, what, hint]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:FILE:_files'
}

_kolo_config_init() {
    _arguments -S -s \
        '(--force)--force[Although there is one, which is kept beside it]' \
        '(--json)--json[An object\: file, schema, kept]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_config_edit() {
    _arguments -S -s \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_config_unset() {
    _arguments -S -s \
        '(--json)--json[An object, as of kolo config set, value is null]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:KEY: __kolo_ask removable' \
        '*:KEY: __kolo_ask removable'
}

_kolo_config_set() {
    local state line
    typeset -A opt_args
    _arguments -S -s \
        '(--json)--json[An object\: key, value, former, file, line, overridden_by, server]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:KEY: __kolo_ask keys' \
        '2:VALUE:->values' \
        '*:KEY VALUE: ' && return
    case $state in
        values) __kolo_ask values "$line[1]" ;;
    esac
}

_kolo_config_get() {
    _arguments -S -s \
        '(--json)--json[The value alone, as JSON]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:KEY: __kolo_ask keys'
}

_kolo_config_show() {
    _arguments -S -s \
        '(--origin)--origin[Say of each where it came from]' \
        '(--changed)--changed[Only those that are not at their default]' \
        '(--reveal)--reveal[Show what is secret too]' \
        '(--json)--json[An array of objects\: key, value, source and what else is known of its origin]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '*:KEY: __kolo_ask sections'
}

_kolo_config() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C -S -s \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            local -a commands=(
                'show:Show the settings that hold'
                'get:Print the value of one setting'
                'set:Set settings in the file'
                'unset:Take settings out of the file'
                'edit:Open the settings file in an editor'
                'init:Write a settings file with every key explained'
                'validate:Check the settings, every profile too'
                'path:Print which file is read'
                'schema:Print the JSON Schema of the settings file'
            )
            _describe -t commands command commands
            ;;
        rest)
            case $line[1] in
                show) _kolo_config_show ;;
                get) _kolo_config_get ;;
                set) _kolo_config_set ;;
                unset) _kolo_config_unset ;;
                edit) _kolo_config_edit ;;
                init) _kolo_config_init ;;
                validate) _kolo_config_validate ;;
                path) _kolo_config_path ;;
                schema) _kolo_config_schema ;;
            esac
            ;;
    esac
}

_kolo_doctor() {
    _arguments -S -s \
        '(--no-generate)--no-generate[Do not load a model to have it say a word]' \
        '(-q --quiet)-q[Only what is not right]' \
        '(-q --quiet)--quiet[Only what is not right]' \
        '(--json)--json[One JSON object\: healthy, kolo, findings]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_bench_show() {
    _arguments -S -s \
        '(-o --output)-o+[How the run is written]:FORM:(table json jsonl csv md html)' \
        '(-o --output)--output=[How the run is written]:FORM:(table json jsonl csv md html)' \
        '(--json)--json[The same as -o json]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:RUN: __kolo_ask runs'
}

_kolo_bench_history() {
    _arguments -S -s \
        '(-n --last)-n+[Only the last N rows]:N: ' \
        '(-n --last)--last=[Only the last N rows]:N: ' \
        '(-q --quiet)-q[The names alone, of runs that have one]' \
        '(-q --quiet)--quiet[The names alone, of runs that have one]' \
        '(--json)--json[An array of objects]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:MODEL: __kolo_models'
}

_kolo_bench_compare() {
    _arguments -S -s \
        '*--fail-if=[METRIC.STAT, < or >, and a change in percent from A to B or a value of B\: exit code 8 if it is so anywhere]:COND: ' \
        '(--json)--json[One JSON object, with both runs'\'' figures]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:A: __kolo_ask runs' \
        '2:B: __kolo_ask runs'
}

_kolo_bench() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C -S -s \
        '*-m+[Which model]:\[NAME=\]MODEL: __kolo_models' \
        '*--model=[Which model]:\[NAME=\]MODEL: __kolo_models' \
        '*--url=[A server that speaks OpenAI'\''s API]:\[NAME=\]URL: __kolo_ask urls' \
        '(--local)--local[Start a server for the run although one runs]' \
        '*--api-key=[Key of the servers, or of the one named]:\[NAME=\]KEY: ' \
        '(-c --concurrency)-c+[Users at a time, each sending when its last answer has ended]:N,…: ' \
        '(-c --concurrency)--concurrency=[Users at a time, each sending when its last answer has ended]:N,…: ' \
        '(--rate)--rate=[Requests per second, whether answered or not]:R,…: ' \
        '(--arrival)--arrival=[How requests of a --rate arrive]:ARRIVAL:(poisson constant)' \
        '(--sweep)--sweep[Double the users until the output grows no more, or a goal fails]' \
        '*--goal=[Such as '\''ttft.p95<500ms'\''\: loads are climbed until it fails]:COND: ' \
        '*-w+[What is asked]:WORKLOADS:(fixed prefix chat interference mixed json)' \
        '*--workload=[What is asked]:WORKLOADS:(fixed prefix chat interference mixed json)' \
        '(--file)--file=[Send the requests in FILE, one JSON body a line, as OpenAI'\''s API takes them]:FILE:_files' \
        '(--schema)--schema=[The JSON Schema of the workload json]:FILE:_files' \
        '(-p --prompt-tokens)-p+[Tokens of a prompt]:N: ' \
        '(-p --prompt-tokens)--prompt-tokens=[Tokens of a prompt]:N: ' \
        '(--output-tokens)--output-tokens=[Tokens of an answer]:N: ' \
        '(--prefix-tokens)--prefix-tokens=[What requests of prefix share]:N: ' \
        '(--long-tokens)--long-tokens=[The prompt that disturbs in interference]:N: ' \
        '(--turns)--turns=[Of a conversation in chat]:N: ' \
        '(--cached)--cached[Repeat prompts, so that prefix caches may help]' \
        '(--body)--body=[Fields to put into every request, over its own]:JSON: ' \
        '(--api)--api=[Which route takes plain prompts]:API:(auto completions chat)' \
        '(-n --requests)-n+[Requests of a round (conversations in chat)]:N: ' \
        '(-n --requests)--requests=[Requests of a round (conversations in chat)]:N: ' \
        '(--duration)--duration=[Begin requests for so long in each round]:TIME: ' \
        '(--rounds)--rounds=[How often all is done]:N: ' \
        '(--warmup)--warmup=[Requests to each target that are not counted]:N: ' \
        '(--seed)--seed=[Decides arrivals, lengths and words, but for those that defeat caches]:S: ' \
        '(--timeout)--timeout=[A request that gets nothing for so long has failed]:SECONDS: ' \
        '(--ctx)--ctx=[As of kolo serve, for a server of its own]:N: ' \
        '(--parallel)--parallel=[Its slots\: answers at a time]:N: ' \
        '(--threads)--threads=[Its threads while generating]:N: ' \
        '(--gpu-layers)--gpu-layers=[Its layers on GPUs]:N: ' \
        '(--engine)--engine[Measure the engine alone as well, and what the path above it costs]' \
        '(--depth)--depth=[Of --engine\: answers are also timed in sequences that hold so many tokens]:N,…: ' \
        '(--shape)--shape=[What this machine would do with a model before you download it, from one of the same shape with random weights\: qwen2.5-7b\:q4_k_m, or dimensions such as arch=llama,layers=16,…]:NAME:(llama-3.2-1b llama-3.2-3b llama-3.1-8b llama-3.1-70b llama-3.3-70b llama-3.1-405b deepseek-r1-distill-llama-8b deepseek-r1-distill-llama-70b qwen2.5-0.5b qwen2.5-1.5b qwen2.5-3b qwen2.5-7b qwen2.5-14b qwen2.5-32b qwen2.5-72b deepseek-r1-distill-qwen-1.5b deepseek-r1-distill-qwen-7b deepseek-r1-distill-qwen-14b deepseek-r1-distill-qwen-32b qwen3-0.6b qwen3-1.7b qwen3-4b qwen3-8b qwen3-14b qwen3-32b qwen3-30b-a3b qwen3-235b-a22b gemma-2-2b gemma-2-9b gemma-2-27b gemma-3-270m gemma-3-1b gemma-3-4b gemma-3-12b gemma-3-27b phi-3-mini phi-3.5-mini phi-3-medium phi-4 phi-4-mini mistral-7b mistral-nemo-12b mistral-small-24b ministral-8b mixtral-8x7b mixtral-8x22b smollm2-135m smollm2-360m smollm2-1.7b smollm3-3b gpt-oss-20b gpt-oss-120b granite-3.3-2b granite-3.3-8b tinyllama-1.1b stories-15m)' \
        '(--keep)--keep[The model of --shape stays in the cache folder]' \
        '(-o --output)-o+[How the result is written]:FORM:(table json jsonl csv md html)' \
        '(-o --output)--output=[How the result is written]:FORM:(table json jsonl csv md html)' \
        '(--json)--json[The same as -o json]' \
        '(--save)--save=[Keep the run under a name]:NAME: ' \
        '(--overwrite)--overwrite[--save over a run of that name]' \
        '(--quiet)--quiet[No progress on a terminal]' \
        '(--formulas)--formulas[Say how each number is computed, and leave]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            local -a commands=(
                'compare:Set two runs against each other'
                'history:List the runs that were kept'
                'show:Show a run that was kept'
            )
            _describe -t commands command commands
            ;;
        rest)
            case $line[1] in
                compare) _kolo_bench_compare ;;
                history) _kolo_bench_history ;;
                show) _kolo_bench_show ;;
            esac
            ;;
    esac
}

_kolo_prune() {
    _arguments -S -s \
        '(--partials)--partials[Partial downloads of any age, not only those a week old]' \
        '(--cache)--cache[Also what engines had cached when they were unloaded]' \
        '(-y --yes)-y[Do not ask first]' \
        '(-y --yes)--yes[Do not ask first]' \
        '(--dry-run)--dry-run[Show what would be done, and do nothing]' \
        '(--json)--json[An object\: removed (kind, what, n_bytes, name, version, path), freed_bytes, dry_run]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_verify() {
    _arguments -S -s \
        '(--all-versions)--all-versions[Former versions too]' \
        '(--json)--json[An array\: name, version, file, path, state, detail]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '*:NAME: __kolo_ask stored'
}

_kolo_rollback() {
    local state line
    typeset -A opt_args
    _arguments -S -s \
        '(--to)--to=[Its id, or the beginning of it]:VERSION:->versions' \
        '(--dry-run)--dry-run[Show which version it would be, and stop there]' \
        '(--json)--json[An object\: name, version, former (the one that was in use), dry_run]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:NAME: __kolo_ask stored' && return
    case $state in
        versions) __kolo_ask versions "$line[1]" ;;
    esac
}

_kolo_alias() {
    _arguments -S -s \
        '(--remove)--remove[Take ALIAS away]' \
        '(-q --quiet)-q[Of the list, the aliases alone]' \
        '(-q --quiet)--quiet[Of the list, the aliases alone]' \
        '(--json)--json[An object, from each alias to the name of its model]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:ALIAS: __kolo_ask aliases' \
        '2:MODEL: __kolo_models'
}

_kolo_rm() {
    _arguments -S -s \
        '(-y --yes)-y[Do not ask first]' \
        '(-y --yes)--yes[Do not ask first]' \
        '(--dry-run)--dry-run[Show what would be done, and do nothing]' \
        '(--json)--json[An object\: removed (name, versions, aliases, freed_bytes), dry_run]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '*:NAME: __kolo_ask stored'
}

_kolo_show() {
    _arguments -S -s \
        '(--template)--template[The chat template alone]' \
        '(--metadata)--metadata[All metadata of the file, a line for each key]' \
        '(--json)--json[One JSON object]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:MODEL: __kolo_models'
}

_kolo_ls() {
    _arguments -S -s \
        '(-q --quiet)-q[The names alone]' \
        '(-q --quiet)--quiet[The names alone]' \
        '(--rebuild)--rebuild[First make the store'\''s index anew from its folders]' \
        '(--json)--json[An array of objects, with sizes in bytes and times in seconds since 1970]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_pull() {
    _arguments -S -s \
        '(--name)--name=[What it is to be called]:NAME: ' \
        '(--copy)--copy[Copy a file of this machine into the store]' \
        '(--dry-run)--dry-run[Show what would be fetched, and stop there]' \
        '(--json)--json[One JSON object, at the end\: the model, or the plan of --dry-run]' \
        '(--jsonl)--jsonl[JSON lines\: the plan, how far it is, and the model]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:REF: __kolo_references'
}

_kolo_service_uninstall() {
    _arguments -S -s \
        '(--user)--user[Your own service, not the machine'\''s]' \
        '(--json)--json[One JSON object\: how the service is then, as of kolo service status]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_service_stop() {
    _arguments -S -s \
        '(--user)--user[Your own service, not the machine'\''s]' \
        '(--json)--json[One JSON object\: how the service is then, as of kolo service status]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_service_status() {
    _arguments -S -s \
        '(--user)--user[Your own service, not the machine'\''s]' \
        '(--json)--json[One JSON object\: installed, enabled, state, pid, since, restarts, text, result, unit]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_service_start() {
    _arguments -S -s \
        '(--user)--user[Your own service, not the machine'\''s]' \
        '(--json)--json[One JSON object\: how the service is then, as of kolo service status]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_service_restart() {
    _arguments -S -s \
        '(--user)--user[Your own service, not the machine'\''s]' \
        '(--json)--json[One JSON object\: how the service is then, as of kolo service status]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_service_reload() {
    _arguments -S -s \
        '(--user)--user[Your own service, not the machine'\''s]' \
        '(--json)--json[One JSON object\: how the service is then, as of kolo service status]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_service_install() {
    _arguments -S -s \
        '(--user)--user[Your own service, not the machine'\''s]' \
        '(--as)--as=[Run as this user]:USER:_users' \
        '(--now)--now[Start it too, or restart it if the unit has changed]' \
        '(--dry-run)--dry-run[Write the unit to stdout and change nothing]' \
        '(--json)--json[One JSON object\: how the service is then]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_service() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C -S -s \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            local -a commands=(
                'install:Write the unit, and start it with the machine'
                'reload:Have it read its settings anew'
                'restart:Stop the service and start it'
                'start:Start the service'
                'status:Say whether it runs'
                'stop:Stop the service'
                'uninstall:Stop it and remove the unit'
            )
            _describe -t commands command commands
            ;;
        rest)
            case $line[1] in
                install) _kolo_service_install ;;
                reload) _kolo_service_reload ;;
                restart) _kolo_service_restart ;;
                start) _kolo_service_start ;;
                status) _kolo_service_status ;;
                stop) _kolo_service_stop ;;
                uninstall) _kolo_service_uninstall ;;
            esac
            ;;
    esac
}

_kolo_audit_verify() {
    _arguments -S -s \
        '(--head)--head=[A sum that was printed before]:SUM: ' \
        '(--json)--json[An object\: lines, head, torn]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_audit() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C -S -s \
        '(-n --last)-n+[How many]:N: ' \
        '(-n --last)--last=[How many]:N: ' \
        '(--json)--json[An array of objects, oldest first]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            local -a commands=(
                'verify:Check that nobody changed the log'
            )
            _describe -t commands command commands
            ;;
        rest)
            case $line[1] in
                verify) _kolo_audit_verify ;;
            esac
            ;;
    esac
}

_kolo_keys_revoke() {
    _arguments -S -s \
        '(--json)--json[An array of objects\: the keys that were revoked]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '*:KEY: __kolo_ask api-keys'
}

_kolo_keys_ls() {
    _arguments -S -s \
        '(-q --quiet)-q[The ids of valid ones alone]' \
        '(-q --quiet)--quiet[The ids of valid ones alone]' \
        '(--json)--json[An array of objects]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_keys_create() {
    _arguments -S -s \
        '*--scope=[What it may do, several times\: infer, ask models and see which there are]:SCOPES:(infer read manage)' \
        '(--expires)--expires=[From when on it is not valid\: after a time such as 90d, or a date such as 2030-01-31]:WHEN: ' \
        '(--requests-per-minute)--requests-per-minute=[Its own limit, in place of access.requests_per_minute]:N: ' \
        '(--tokens-per-minute)--tokens-per-minute=[Likewise, of prompts and answers]:N: ' \
        '(--json)--json[An object\: the key and its secret]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:NAME: '
}

_kolo_keys() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C -S -s \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            local -a commands=(
                'create:Make a key, and show its secret once'
                'ls:List the keys'
                'revoke:Make keys invalid'
            )
            _describe -t commands command commands
            ;;
        rest)
            case $line[1] in
                create) _kolo_keys_create ;;
                ls) _kolo_keys_ls ;;
                revoke) _kolo_keys_revoke ;;
            esac
            ;;
    esac
}

_kolo_reload() {
    _arguments -S -s \
        '(--url)--url=[Address of the server]:URL: __kolo_ask urls' \
        '(--json)--json[One JSON object\: file, settings, needs_restart, engines_changed, engines_removed]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_logs() {
    _arguments -S -s \
        '(-f --follow)-f[Go on with each new line, until Ctrl-C]' \
        '(-f --follow)--follow[Go on with each new line, until Ctrl-C]' \
        '(-n --lines)-n+[Begin with the last N lines]:N: ' \
        '(-n --lines)--lines=[Begin with the last N lines]:N: ' \
        '(--url)--url=[Address of the server]:URL: __kolo_ask urls' \
        '(--json)--json[An array of objects\: level, timestamp, message]' \
        '(--jsonl)--jsonl[Such an object a line]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:ENGINE: __kolo_ask every-engine'
}

_kolo_unload() {
    _arguments -S -s \
        '(--force)--force[Also when requests are running, which then fail]' \
        '(--forget)--forget[Also remove an engine that was added at run time]' \
        '(--url)--url=[Address of the server]:URL: __kolo_ask urls' \
        '(--json)--json[One JSON object\: id, unloaded (false if it was not loaded), forgotten]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:ID: __kolo_ask engines'
}

_kolo_load() {
    _arguments -S -s \
        '(--id)--id=[Load it as another engine, known by this name]:ID: ' \
        '(--ctx)--ctx=[Tokens of context for each request]:N: ' \
        '(--parallel)--parallel=[Requests answered at the same time]:N: ' \
        '(--gpu-layers)--gpu-layers=[Layers on GPUs]:N: ' \
        '(--pin)--pin[Never unload it to make room, nor when idle]' \
        '(--ttl)--ttl=[Unload it when unused for so long, such as 10m]:TIME: ' \
        '(--wait --no-wait)--wait[Wait until it is loaded, which is the default]' \
        '(--wait --no-wait)--no-wait[Wait until it is loaded, which is the default]' \
        '(--dry-run)--dry-run[Load nothing\: show what it would take, whether that fits (exit code 5 if not), and what would be unloaded for it]' \
        '(--url)--url=[Address of the server]:URL: __kolo_ask urls' \
        '(--json)--json[The engine as one JSON object, as kolo ps --json shows it]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:MODEL: __kolo_models'
}

_kolo_top() {
    _arguments -S -s \
        '(--once)--once[Print one table and leave]' \
        '(--json)--json[Print one snapshot as JSON and leave]' \
        '(--jsonl)--jsonl[Print every message, a line of JSON each]' \
        '(-n --count)-n+[With --jsonl\: end after N snapshots]:N: ' \
        '(-n --count)--count=[With --jsonl\: end after N snapshots]:N: ' \
        '(--interval)--interval=[Seconds between snapshots]:S: ' \
        '(--record)--record=[Write what is seen to a new file as well]:FILE:_files' \
        '(--replay)--replay=[Show a recording instead of a server]:FILE:_files' \
        '(--speed)--speed=[With --replay\: so many times as fast]:X: ' \
        '(--demo)--demo[Show a made-up server]' \
        '(--seed)--seed=[With --demo\: which one]:S: ' \
        '(--remote)--remote=[The server of another machine, over ssh]:HOST:_hosts' \
        '(--socket)--socket=[Monitor socket of the server]:PATH:_files' \
        '(--url)--url=[Address of the server]:URL: __kolo_ask urls' \
        '(--readonly)--readonly[Without the keys that change anything]' \
        '(--theme)--theme=[Colours, such as kolo-light]:NAME: ' \
        '(--ascii)--ascii[Draw with ASCII alone]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_ps() {
    _arguments -S -s \
        '(-q --quiet)-q[The ids alone]' \
        '(-q --quiet)--quiet[The ids alone]' \
        '(--url)--url=[Address of the server]:URL: __kolo_ask urls' \
        '(--json)--json[An array of objects, with times in seconds and sizes in bytes]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]'
}

_kolo_serve() {
    _arguments -S -s \
        '(--models-dir)--models-dir=[Serve every .gguf file in DIR, and in its folders, by its name]:DIR:_files' \
        '(--json)--json[One JSON object, on one line, when it listens\: url, pid, models, loading, monitor]' \
        '(--default-model)--default-model=[The model of a command that names none\: guide, a name of \[models\] below, or a path]:TEXT: ' \
        '(--ctx)--ctx=[Tokens of context for each request]:N: ' \
        '(--parallel)--parallel=[Requests served at the same time]:N: ' \
        '(--batch)--batch=[Tokens in one call of llama.cpp at most]:N: ' \
        '(--ubatch)--ubatch=[Tokens computed at once at most]:N: ' \
        '(--threads)--threads=[Threads while generating]:N: ' \
        '(--threads-batch)--threads-batch=[Threads while reading prompts]:N: ' \
        '(--gpu-layers)--gpu-layers=[Layers on GPUs]:N: ' \
        '(--main-gpu)--main-gpu=[GPU for what is not split]:N: ' \
        '(--split-mode)--split-mode=[How a model is spread over GPUs\: none, layer or row]:NONE|LAYER|ROW: ' \
        '(--tensor-split)--tensor-split=[Share of each GPU]:A,B: ' \
        '(--devices)--devices=[GPUs to use]:A,B: ' \
        '(--kv-type-k)--kv-type-k=[Type of the keys in the KV cache\: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0 or iq4_nl]:TYPE: ' \
        '(--kv-type-v)--kv-type-v=[As kv_type_k, of the values]:TYPE: ' \
        '(--kv-unified --no-kv-unified)--kv-unified[One pool of KV cells for all requests instead of an equal part for each]' \
        '(--kv-unified --no-kv-unified)--no-kv-unified[One pool of KV cells for all requests instead of an equal part for each]' \
        '(--kv-offload --no-kv-offload)--kv-offload[Keep the KV cache of layers on a GPU there]' \
        '(--kv-offload --no-kv-offload)--no-kv-offload[Keep the KV cache of layers on a GPU there]' \
        '(--flash-attn)--flash-attn=[Flash attention\: auto, on or off]:AUTO|ON|OFF: ' \
        '(--rope-scaling)--rope-scaling=[Stretching the context\: none, linear, yarn or longrope]:TYPE: ' \
        '(--rope-freq-base)--rope-freq-base=[Base frequency of the rotary positions]:N: ' \
        '(--rope-freq-scale)--rope-freq-scale=[Positions are multiplied by this]:N: ' \
        '(--yarn-ext-factor)--yarn-ext-factor=[YaRN\: how far between interpolation (0) and extrapolation (1)]:N: ' \
        '(--yarn-attn-factor)--yarn-attn-factor=[YaRN\: scale of the attention'\''s magnitude]:N: ' \
        '(--yarn-beta-fast)--yarn-beta-fast=[YaRN\: rotations over the context above which a dimension is left as it is]:N: ' \
        '(--yarn-beta-slow)--yarn-beta-slow=[YaRN\: rotations below which one is interpolated in full]:N: ' \
        '(--yarn-orig-ctx)--yarn-orig-ctx=[YaRN\: tokens of context that the model was trained for]:N: ' \
        '(--lora)--lora=[LoRA adapters\: \[{path = "adapter.gguf", scale = 1.0}\]]:A,B: ' \
        '(--mmap --no-mmap)--mmap[Map the file instead of reading it]' \
        '(--mmap --no-mmap)--no-mmap[Map the file instead of reading it]' \
        '(--mlock --no-mlock)--mlock[Keep the model from being swapped out]' \
        '(--mlock --no-mlock)--no-mlock[Keep the model from being swapped out]' \
        '(--check-tensors --no-check-tensors)--check-tensors[Look for broken numbers in the weights while loading]' \
        '(--check-tensors --no-check-tensors)--no-check-tensors[Look for broken numbers in the weights while loading]' \
        '(--warmup --no-warmup)--warmup[Compute once at load, so that the first request is quick]' \
        '(--warmup --no-warmup)--no-warmup[Compute once at load, so that the first request is quick]' \
        '(--pooling)--pooling=[How an embedding is made of a text\: mean, cls, last, rank or none]:NONE|MEAN|CLS|LAST|RANK: ' \
        '(--chat-template)--chat-template=[Jinja source to use instead of the model'\''s own chat template]:TEXT: ' \
        '(--cache-store-bytes)--cache-store-bytes=[Bytes of host memory for prefixes that have left the KV cache]:N: ' \
        '(--prefill-budget-ms)--prefill-budget-ms=[How long, in milliseconds, reading a prompt may hold up the answers under way at a time]:N: ' \
        '(--speculation)--speculation=[Guess several tokens at once, from the text so far or by a draft model, and let the model check them\: auto (where that pays), always or off]:AUTO|ALWAYS|OFF: ' \
        '(--draft-model)--draft-model=[A smaller model of the same vocabulary, a GGUF file, that makes the guesses]:TEXT: ' \
        '(--sampling-temperature)--sampling-temperature=[0 always takes the likeliest token]:N: ' \
        '(--sampling-dynatemp-range)--sampling-dynatemp-range=[How far the temperature goes up and down with the entropy of what is to be drawn]:N: ' \
        '(--sampling-dynatemp-exponent)--sampling-dynatemp-exponent=[The curve from entropy to that temperature]:N: ' \
        '(--sampling-top-k)--sampling-top-k=[Only so many of the likeliest tokens]:N: ' \
        '(--sampling-top-p)--sampling-top-p=[Only the likeliest tokens that together have this probability]:N: ' \
        '(--sampling-min-p)--sampling-min-p=[Only tokens at least this likely, relative to the likeliest]:N: ' \
        '(--sampling-typical-p)--sampling-typical-p=[Only tokens about as surprising as is typical, up to this probability]:N: ' \
        '(--sampling-top-n-sigma)--sampling-top-n-sigma=[Only tokens whose logit is within so many standard deviations of the best]:N: ' \
        '(--sampling-xtc-probability)--sampling-xtc-probability=[XTC\: how often all but the least likely of the good tokens are left out]:N: ' \
        '(--sampling-xtc-threshold)--sampling-xtc-threshold=[XTC\: the probability from which a token counts as good]:N: ' \
        '(--sampling-dry-multiplier)--sampling-dry-multiplier=[DRY, against repeated passages\: the weight of the penalty]:N: ' \
        '(--sampling-dry-base)--sampling-dry-base=[DRY\: the penalty grows by this factor with each repeated token]:N: ' \
        '(--sampling-dry-allowed-length)--sampling-dry-allowed-length=[DRY\: a repetition of so many tokens costs nothing]:N: ' \
        '(--sampling-dry-penalty-last-n)--sampling-dry-penalty-last-n=[DRY\: so many of the last tokens are searched]:N: ' \
        '(--sampling-dry-sequence-breakers)--sampling-dry-sequence-breakers=[DRY\: texts at which a passage ends]:A,B: ' \
        '(--sampling-repeat-penalty)--sampling-repeat-penalty=[What the logit of a token that is among the last repeat_last_n is divided by]:N: ' \
        '(--sampling-repeat-last-n)--sampling-repeat-last-n=[How many tokens the penalties look back]:N: ' \
        '(--sampling-presence-penalty)--sampling-presence-penalty=[Taken from the logit of a token that is there at all]:N: ' \
        '(--sampling-frequency-penalty)--sampling-frequency-penalty=[Taken from it once for each time that it is there]:N: ' \
        '(--sampling-mirostat)--sampling-mirostat=[Mirostat, version 1 or 2, in place of the other filters]:N: ' \
        '(--sampling-mirostat-tau)--sampling-mirostat-tau=[Mirostat\: the surprise, in bits, that is aimed at]:N: ' \
        '(--sampling-mirostat-eta)--sampling-mirostat-eta=[Mirostat\: how quickly it corrects itself]:N: ' \
        '(--sampling-min-keep)--sampling-min-keep=[Candidates that every filter leaves at least]:N: ' \
        '(--sampling-samplers)--sampling-samplers=[The order of the chain]:A,B: ' \
        '(--sampling-seed)--sampling-seed=[-1 draws a seed for each request]:N: ' \
        '(--sampling-logit-bias)--sampling-logit-bias=[Token id or text to what is added to its logit]:JSON: ' \
        '(--sampling-ignore-eos --no-sampling-ignore-eos)--sampling-ignore-eos[Never end an answer by the model'\''s own wish]' \
        '(--sampling-ignore-eos --no-sampling-ignore-eos)--no-sampling-ignore-eos[Never end an answer by the model'\''s own wish]' \
        '(--stop)--stop=[Texts that end an answer, beside those that a request names]:A,B: ' \
        '(--system)--system=[The system message of a conversation that has none]:TEXT: ' \
        '(--manager-memory-budget)--manager-memory-budget=[Memory for all engines together\: a size, or a share such as "80%"]:SIZE: ' \
        '(--manager-max-engines)--manager-max-engines=[Engines loaded at a time]:N: ' \
        '(--manager-idle-unload)--manager-idle-unload=[An engine unused for so long is unloaded]:TIME: ' \
        '(--manager-load-timeout)--manager-load-timeout=[A load that takes longer is given up]:TIME: ' \
        '(--manager-hang-timeout)--manager-hang-timeout=[An engine that has work and says nothing for so long, though it is asked, is ended\: its requests fail, and the next one starts it again]:TIME: ' \
        '(--manager-max-queue)--manager-max-queue=[Requests that may wait for a slot of one engine]:N: ' \
        '(--manager-restart-backoff)--manager-restart-backoff=[Pause before an engine that crashed twice in a row is started again]:TIME: ' \
        '(--manager-restart-backoff-max)--manager-restart-backoff-max=[The longest such pause]:TIME: ' \
        '(--host)--host=[Address to listen on]:TEXT: ' \
        '(--port)--port=[0 takes any free port]:N: ' \
        '(--request-timeout)--request-timeout=[A request that takes longer is ended]:TIME: ' \
        '(--max-body)--max-body=[Largest request body]:SIZE: ' \
        '(--body-timeout)--body-timeout=[A client that takes longer to send it is turned away]:TIME: ' \
        '(--heartbeat)--heartbeat=[A stream that is silent for so long sends a comment, so that nobody on the way ends it]:TIME: ' \
        '(--stop-timeout)--stop-timeout=[Answers under way may go on for so long when the server is told to stop]:TIME: ' \
        '(--header-timeout)--header-timeout=[A client that takes longer to send a request'\''s headers is turned away]:TIME: ' \
        '(--send-timeout)--send-timeout=[A client that takes nothing of its answer for so long is given up]:TIME: ' \
        '(--idle-timeout)--idle-timeout=[A connection is kept for so long after a request]:TIME: ' \
        '(--max-header)--max-header=[Largest headers of a request]:SIZE: ' \
        '(--max-connections)--max-connections=[Connections at a time]:N: ' \
        '(--socket)--socket=[Unix socket that is listened on as well]:TEXT: ' \
        '(--socket-mode)--socket-mode=[Who may open it\: its mode, in octal digits]:TEXT: ' \
        '(--tls-cert)--tls-cert=[Certificate with its chain, PEM\: TLS on the port, with HTTP/2]:TEXT: ' \
        '(--tls-key)--tls-key=[The key of tls_cert, PEM]:TEXT: ' \
        '(--require-key)--require-key=[Whether a request needs a key\: auto (as soon as a key was made, and always where others than this machine can reach the server), always or never]:AUTO|ALWAYS|NEVER: ' \
        '(--allow-unauthenticated --no-allow-unauthenticated)--allow-unauthenticated[Listen beyond this machine although there are no keys\: whoever reaches it may use it]' \
        '(--allow-unauthenticated --no-allow-unauthenticated)--no-allow-unauthenticated[Listen beyond this machine although there are no keys\: whoever reaches it may use it]' \
        '(--allowed-hosts)--allowed-hosts=[Names that requests may call the server by, beside localhost and addresses in numbers]:A,B: ' \
        '(--requests-per-minute)--requests-per-minute=[Requests a minute of each key, or of each address without one]:N: ' \
        '(--tokens-per-minute)--tokens-per-minute=[Tokens a minute, of prompts and answers together, likewise]:N: ' \
        '(--cors-origins)--cors-origins=[Their addresses, https\://HOST\[\:PORT\] each]:A,B: ' \
        '(--cors-methods)--cors-methods=[What such a page may do]:A,B: ' \
        '(--cors-headers)--cors-headers=[Headers that it may send]:A,B: ' \
        '(--cors-credentials --no-cors-credentials)--cors-credentials[Whether such a page may send cookies and the like]' \
        '(--cors-credentials --no-cors-credentials)--no-cors-credentials[Whether such a page may send cookies and the like]' \
        '(--cors-max-age)--cors-max-age=[How long a browser need not ask again]:TIME: ' \
        '(--store-dir)--store-dir=[The store]:TEXT: ' \
        '(--store-folders)--store-folders=[Folders of .gguf files that are known by their names too, and stay where they are]:A,B: ' \
        '(--store-hub-cache)--store-hub-cache=[What Hugging Face'\''s own tools have fetched is known too\: their folder, or "off"]:TEXT: ' \
        '(--store-ollama-registry)--store-ollama-registry=[The registry of ollama\: references]:TEXT: ' \
        '(--downloads-quant)--downloads-quant=[Taken where a reference leaves it open]:TEXT: ' \
        '(--downloads-allow-private --no-downloads-allow-private)--downloads-allow-private[Let requests make the server fetch from addresses that are not public]' \
        '(--downloads-allow-private --no-downloads-allow-private)--no-downloads-allow-private[Let requests make the server fetch from addresses that are not public]' \
        '(--downloads-stall-timeout)--downloads-stall-timeout=[A connection on which nothing comes for so long is given up, and made anew]:TIME: ' \
        '(--downloads-insecure-registries)--downloads-insecure-registries=[Registries (HOST or HOST\:PORT) that speak http]:A,B: ' \
        '(--cache-save --no-cache-save)--cache-save[false saves nothing]' \
        '(--cache-save --no-cache-save)--no-cache-save[false saves nothing]' \
        '(--cache-max-size)--cache-max-size=[Largest size of it all]:SIZE: ' \
        '(--monitor-socket)--monitor-socket=[Unix socket on which a server says what it does]:TEXT: ' \
        '(--history-enabled --no-history-enabled)--history-enabled[false keeps nothing]' \
        '(--history-enabled --no-history-enabled)--no-history-enabled[false keeps nothing]' \
        '(--history-max-size)--history-max-size=[Largest size of the file and its log, 4MiB at least]:SIZE: ' \
        '(--history-keep-minutes)--history-keep-minutes=[Figures of each minute are kept so long, then those of ten minutes alone]:TIME: ' \
        '(--history-keep-ten-minutes)--history-keep-ten-minutes=[Those are kept so long, then those of each hour alone]:TIME: ' \
        '(--otel-enabled --no-otel-enabled)--otel-enabled[true sends them]' \
        '(--otel-enabled --no-otel-enabled)--no-otel-enabled[true sends them]' \
        '(--otel-endpoint)--otel-endpoint=[Base URL of the collector]:TEXT: ' \
        '(--log-level)--log-level=[What is less grave is left out\: debug, info, warning or error]:DEBUG|INFO|WARNING|ERROR: ' \
        '(--log-format)--log-format=[text for people, json for machines\: one object a line]:TEXT|JSON: ' \
        '(--log-file)--log-file=[A file that lines are appended to]:TEXT: ' \
        '(--log-access --no-log-access)--log-access[A line for each request\: who, which path, status, bytes, how long]' \
        '(--log-access --no-log-access)--no-log-access[A line for each request\: who, which path, status, bytes, how long]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '*:MODEL: __kolo_models'
}

_kolo_embed() {
    _arguments -S -s \
        '(-m --model)-m+[Which model\: a name that kolo ls shows or the beginning of one, or a path to a .gguf file]:MODEL: __kolo_models' \
        '(-m --model)--model=[Which model\: a name that kolo ls shows or the beginning of one, or a path to a .gguf file]:MODEL: __kolo_models' \
        '*--file=[The text of a file, after TEXT]:FILE:_files' \
        '(--lines)--lines[Each line of --file and of standard input is a text of its own]' \
        '(--dimensions)--dimensions=[Only the first N of a vector, at unit length again\: for models trained for it]:N: ' \
        '(-o --output)-o+[jsonl (a line for each text, the default), json (one document), csv (a row for each text), npy (NumPy'\''s format, 32-bit floats)]:OUTPUT:(jsonl json csv npy)' \
        '(-o --output)--output=[jsonl (a line for each text, the default), json (one document), csv (a row for each text), npy (NumPy'\''s format, 32-bit floats)]:OUTPUT:(jsonl json csv npy)' \
        '(--json)--json[The same as -o json]' \
        '(--jsonl)--jsonl=[Texts from a file, or -\: a line each, a text or an object with text, and id and model of its own]:IN:_files' \
        '(--out)--out=[Results of --jsonl go there]:FILE:_files' \
        '(--retry-failed)--retry-failed[Ask again what has an error in --out]' \
        '(--concurrency)--concurrency=[Requests of --jsonl that are under way at a time]:N: ' \
        '(--timeout)--timeout=[Give up after this long, loading included]:SECONDS: ' \
        '(--retries)--retries=[Try so often again, after a pause, what may succeed then\: a server that is gone, busy or restarted, an engine that crashed]:N: ' \
        '(--local)--local[Use no server although one runs, but an engine of this command'\''s own]' \
        '(--url)--url=[Address of the server]:URL: __kolo_ask urls' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '*:TEXT: '
}

_kolo_complete() {
    _arguments -S -s \
        '(-m --model)-m+[Which model\: a name that kolo ls shows or the beginning of one, or a path to a .gguf file]:MODEL: __kolo_models' \
        '(-m --model)--model=[Which model\: a name that kolo ls shows or the beginning of one, or a path to a .gguf file]:MODEL: __kolo_models' \
        '(-n --max-tokens)-n+[At most this many tokens]:N: ' \
        '(-n --max-tokens)--max-tokens=[At most this many tokens]:N: ' \
        '(--system)--system=[The system message]:S: ' \
        '*--file=[Text that goes before the rest]:FILE:_files' \
        '(--template)--template=[The prompt is the text of FILE, its {{ variables }} filled in (Jinja)]:FILE:_files' \
        '*--var=[A variable of the template]:NAME=VALUE: ' \
        '(--vars)--vars=[More, a JSON object]:FILE:_files' \
        '(--json)--json[One JSON object with text, model, finish_reason, usage, timings and seed]' \
        '(--schema)--schema=[The answer is JSON that fits the JSON Schema in FILE]:FILE:_files' \
        '(--grammar)--grammar=[The answer fits the GBNF grammar in FILE]:FILE:_files' \
        '(--choices)--choices=[The answer is exactly one of these]:A,B,C: ' \
        '*--stop=[End the answer before this text]:S: ' \
        '(--temp --temperature)--temp=[Temperature]:T: ' \
        '(--temp --temperature)--temperature=[Temperature]:T: ' \
        '(--top-p)--top-p=[Only the likeliest tokens that together have this probability]:P: ' \
        '(--top-k)--top-k=[Only the K likeliest tokens]:K: ' \
        '(--min-p)--min-p=[Only tokens at least this likely, relative to the likeliest]:P: ' \
        '(--seed)--seed=[Makes the draw repeatable]:S: ' \
        '(--n)--n=[This many answers, one after another]:N: ' \
        '(--logprobs)--logprobs=[With --json\: the log-probability of each token, and the N likeliest at its place]:N: ' \
        '(--raw)--raw[No chat template\: the model carries the prompt on]' \
        '(--jsonl)--jsonl=[Requests from a file, or -\: a line each, a text or an object with prompt or messages, and id, model, system, temperature and the like of its own]:IN:_files' \
        '(--out)--out=[Results of --jsonl go there]:FILE:_files' \
        '(--retry-failed)--retry-failed[Ask again what has an error in --out]' \
        '(--concurrency)--concurrency=[Requests of --jsonl that are under way at a time]:N: ' \
        '(--timeout)--timeout=[Give up after this long, loading included]:SECONDS: ' \
        '(--retries)--retries=[Try so often again, after a pause, what may succeed then\: a server that is gone, busy or restarted, an engine that crashed]:N: ' \
        '(--allow-cut)--allow-cut[An answer that the length limit cut is as good as whole]' \
        '(--local)--local[Use no server although one runs, but an engine of this command'\''s own]' \
        '(--url)--url=[Address of the server]:URL: __kolo_ask urls' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:PROMPT: '
}

_kolo_chat() {
    _arguments -S -s \
        '(-m --model)-m+[Which model\: a name that kolo ls shows or the beginning of one, or a path to a .gguf file]:MODEL: __kolo_models' \
        '(-m --model)--model=[Which model\: a name that kolo ls shows or the beginning of one, or a path to a .gguf file]:MODEL: __kolo_models' \
        '(--system)--system=[The system message]:S: ' \
        '(--resume)--resume=[Go on with a conversation\: its name, a part of it, or a file]:\[NAME\]: __kolo_ask sessions' \
        '(--last)--last[Go on with the last conversation]' \
        '(--list)--list[List the conversations that are kept]' \
        '(--no-history)--no-history[Keep nothing\: neither what is typed nor the conversation]' \
        '(--plain)--plain[Show answers as they come, without Markdown]' \
        '(-q --quiet)-q[With --list, the names alone]' \
        '(-q --quiet)--quiet[With --list, the names alone]' \
        '(--json)--json[With PROMPT an object as of kolo complete, with --list an array of conversations]' \
        '(-n --max-tokens)-n+[At most this many tokens]:N: ' \
        '(-n --max-tokens)--max-tokens=[At most this many tokens]:N: ' \
        '(--temp --temperature)--temp=[Temperature]:T: ' \
        '(--temp --temperature)--temperature=[Temperature]:T: ' \
        '(--top-p)--top-p=[Only the likeliest tokens that together have this probability]:P: ' \
        '(--top-k)--top-k=[Only the K likeliest tokens]:K: ' \
        '(--min-p)--min-p=[Only tokens at least this likely, relative to the likeliest]:P: ' \
        '(--seed)--seed=[Makes the draw repeatable]:S: ' \
        '(--local)--local[Use no server although one runs, but an engine of this command'\''s own]' \
        '(--url)--url=[Address of the server]:URL: __kolo_ask urls' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1:PROMPT: '
}

_kolo() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C -S -s \
        '(--color)--color=[Colour on a terminal]:COLOR:(auto always never)' \
        '(--profile)--profile=[Settings of this profile over the others]:NAME: __kolo_ask profiles' \
        '(--version)--version[Show the version and leave]' \
        '(--spec)--spec[Show every command, option and exit code as JSON, and leave]' \
        '(-h --help)-h[Show this message and exit]' \
        '(-h --help)--help[Show this message and exit]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            local -a commands=(
                'chat:Talk with a model'
                'complete:Ask a model once'
                'embed:Turn texts into vectors'
                'serve:Serve models over HTTP'
                'ps:Show the engines of a running server'
                'top:Watch a server: engines, requests, GPUs'
                'load:Load a model into a running server'
                'unload:Unload an engine of a running server'
                'logs:Show what a server, or an engine, has said'
                'reload:Have a server read its settings anew'
                'keys:Make and revoke API keys'
                'audit:Show who changed what on a server'
                'service:Run the server under systemd'
                'pull:Fetch a model, or register a file'
                'ls:List the models of this machine'
                'show:Show what is known of a model'
                'rm:Remove models from the store'
                'alias:Give a model a further name'
                'rollback:Return a model to its former version'
                'verify:Check stored models against their sums'
                'prune:Remove what the store no longer needs'
                'bench:Measure how fast a model answers'
                'doctor:Check that all is as it must be'
                'config:Read and change the settings'
                'completion:Have your shell complete commands and names'
                'path:Show the folders Kolo reads and writes'
                'help:Explain a command or a topic'
            )
            _describe -t commands command commands
            ;;
        rest)
            case $line[1] in
                chat) _kolo_chat ;;
                complete) _kolo_complete ;;
                embed) _kolo_embed ;;
                serve) _kolo_serve ;;
                ps) _kolo_ps ;;
                top) _kolo_top ;;
                load) _kolo_load ;;
                unload) _kolo_unload ;;
                logs) _kolo_logs ;;
                reload) _kolo_reload ;;
                keys) _kolo_keys ;;
                audit) _kolo_audit ;;
                service) _kolo_service ;;
                pull) _kolo_pull ;;
                ls) _kolo_ls ;;
                show) _kolo_show ;;
                rm) _kolo_rm ;;
                alias) _kolo_alias ;;
                rollback) _kolo_rollback ;;
                verify) _kolo_verify ;;
                prune) _kolo_prune ;;
                bench) _kolo_bench ;;
                doctor) _kolo_doctor ;;
                config) _kolo_config ;;
                completion) _kolo_completion ;;
                path) _kolo_path ;;
                help) _kolo_help ;;
            esac
            ;;
    esac
}

_kolo_main() {
    local __kolo_program=${~${(Q)words[1]}}
    (( $+commands[$__kolo_program] )) || [[ -x $__kolo_program ]] || __kolo_program=kolo
    _kolo "$@"
}

if [[ $funcstack[1] == _kolo ]]; then
    _kolo_main "$@"
else
    compdef _kolo_main kolo
fi
