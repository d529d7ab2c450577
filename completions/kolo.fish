# Completion of kolo for fish. Made by "kolo completion fish"; not to be edited.

set -g __kolo_commands \
    'kolo chat' \
    'kolo complete' \
    'kolo embed' \
    'kolo serve' \
    'kolo ps' \
    'kolo top' \
    'kolo load' \
    'kolo unload' \
    'kolo logs' \
    'kolo reload' \
    'kolo keys' \
    'kolo audit' \
    'kolo service' \
    'kolo pull' \
    'kolo ls' \
    'kolo show' \
    'kolo rm' \
    'kolo alias' \
    'kolo rollback' \
    'kolo verify' \
    'kolo prune' \
    'kolo bench' \
    'kolo doctor' \
    'kolo config' \
    'kolo completion' \
    'kolo path' \
    'kolo help' \
    'kolo keys create' \
    'kolo keys ls' \
    'kolo keys revoke' \
    'kolo audit verify' \
    'kolo service install' \
    'kolo service reload' \
    'kolo service restart' \
    'kolo service start' \
    'kolo service status' \
    'kolo service stop' \
    'kolo service uninstall' \
    'kolo bench compare' \
    'kolo bench history' \
    'kolo bench show' \
    'kolo config show' \
    'kolo config get' \
    'kolo config set' \
    'kolo config unset' \
    'kolo config edit' \
    'kolo config init' \
    'kolo config validate' \
    'kolo config path' \
    'kolo config schema' \
    'kolo completion bash' \
    'kolo completion fish' \
    'kolo completion install' \
    'kolo completion uninstall' \
    'kolo completion zsh'
set -g __kolo_valued \
    'kolo --color' \
    'kolo --profile' \
    'kolo chat -m' \
    'kolo chat --model' \
    'kolo chat --system' \
    'kolo chat --resume' \
    'kolo chat -n' \
    'kolo chat --max-tokens' \
    'kolo chat --temp' \
    'kolo chat --temperature' \
    'kolo chat --top-p' \
    'kolo chat --top-k' \
    'kolo chat --min-p' \
    'kolo chat --seed' \
    'kolo chat --url' \
    'kolo complete -m' \
    'kolo complete --model' \
    'kolo complete -n' \
    'kolo complete --max-tokens' \
    'kolo complete --system' \
    'kolo complete --file' \
    'kolo complete --template' \
    'kolo complete --var' \
    'kolo complete --vars' \
    'kolo complete --schema' \
    'kolo complete --grammar' \
    'kolo complete --choices' \
    'kolo complete --stop' \
    'kolo complete --temp' \
    'kolo complete --temperature' \
    'kolo complete --top-p' \
    'kolo complete --top-k' \
    'kolo complete --min-p' \
    'kolo complete --seed' \
    'kolo complete --n' \
    'kolo complete --logprobs' \
    'kolo complete --jsonl' \
    'kolo complete --out' \
    'kolo complete --concurrency' \
    'kolo complete --timeout' \
    'kolo complete --retries' \
    'kolo complete --url' \
    'kolo embed -m' \
    'kolo embed --model' \
    'kolo embed --file' \
    'kolo embed --dimensions' \
    'kolo embed -o' \
    'kolo embed --output' \
    'kolo embed --jsonl' \
    'kolo embed --out' \
    'kolo embed --concurrency' \
    'kolo embed --timeout' \
    'kolo embed --retries' \
    'kolo embed --url' \
    'kolo serve --models-dir' \
    'kolo serve --default-model' \
    'kolo serve --ctx' \
    'kolo serve --parallel' \
    'kolo serve --batch' \
    'kolo serve --ubatch' \
    'kolo serve --threads' \
    'kolo serve --threads-batch' \
    'kolo serve --gpu-layers' \
    'kolo serve --main-gpu' \
    'kolo serve --split-mode' \
    'kolo serve --tensor-split' \
    'kolo serve --devices' \
    'kolo serve --kv-type-k' \
    'kolo serve --kv-type-v' \
    'kolo serve --flash-attn' \
    'kolo serve --rope-scaling' \
    'kolo serve --rope-freq-base' \
    'kolo serve --rope-freq-scale' \
    'kolo serve --yarn-ext-factor' \
    'kolo serve --yarn-attn-factor' \
    'kolo serve --yarn-beta-fast' \
    'kolo serve --yarn-beta-slow' \
    'kolo serve --yarn-orig-ctx' \
    'kolo serve --lora' \
    'kolo serve --pooling' \
    'kolo serve --chat-template' \
    'kolo serve --cache-store-bytes' \
    'kolo serve --prefill-budget-ms' \
    'kolo serve --speculation' \
    'kolo serve --draft-model' \
    'kolo serve --sampling-temperature' \
    'kolo serve --sampling-dynatemp-range' \
    'kolo serve --sampling-dynatemp-exponent' \
    'kolo serve --sampling-top-k' \
    'kolo serve --sampling-top-p' \
    'kolo serve --sampling-min-p' \
    'kolo serve --sampling-typical-p' \
    'kolo serve --sampling-top-n-sigma' \
    'kolo serve --sampling-xtc-probability' \
    'kolo serve --sampling-xtc-threshold' \
    'kolo serve --sampling-dry-multiplier' \
    'kolo serve --sampling-dry-base' \
    'kolo serve --sampling-dry-allowed-length' \
    'kolo serve --sampling-dry-penalty-last-n' \
    'kolo serve --sampling-dry-sequence-breakers' \
    'kolo serve --sampling-repeat-penalty' \
    'kolo serve --sampling-repeat-last-n' \
    'kolo serve --sampling-presence-penalty' \
    'kolo serve --sampling-frequency-penalty' \
    'kolo serve --sampling-mirostat' \
    'kolo serve --sampling-mirostat-tau' \
    'kolo serve --sampling-mirostat-eta' \
    'kolo serve --sampling-min-keep' \
    'kolo serve --sampling-samplers' \
    'kolo serve --sampling-seed' \
    'kolo serve --sampling-logit-bias' \
    'kolo serve --stop' \
    'kolo serve --system' \
    'kolo serve --manager-memory-budget' \
    'kolo serve --manager-max-engines' \
    'kolo serve --manager-idle-unload' \
    'kolo serve --manager-load-timeout' \
    'kolo serve --manager-hang-timeout' \
    'kolo serve --manager-max-queue' \
    'kolo serve --manager-restart-backoff' \
    'kolo serve --manager-restart-backoff-max' \
    'kolo serve --host' \
    'kolo serve --port' \
    'kolo serve --request-timeout' \
    'kolo serve --max-body' \
    'kolo serve --body-timeout' \
    'kolo serve --heartbeat' \
    'kolo serve --stop-timeout' \
    'kolo serve --header-timeout' \
    'kolo serve --send-timeout' \
    'kolo serve --idle-timeout' \
    'kolo serve --max-header' \
    'kolo serve --max-connections' \
    'kolo serve --socket' \
    'kolo serve --socket-mode' \
    'kolo serve --tls-cert' \
    'kolo serve --tls-key' \
    'kolo serve --require-key' \
    'kolo serve --allowed-hosts' \
    'kolo serve --requests-per-minute' \
    'kolo serve --tokens-per-minute' \
    'kolo serve --cors-origins' \
    'kolo serve --cors-methods' \
    'kolo serve --cors-headers' \
    'kolo serve --cors-max-age' \
    'kolo serve --store-dir' \
    'kolo serve --store-folders' \
    'kolo serve --store-hub-cache' \
    'kolo serve --store-ollama-registry' \
    'kolo serve --downloads-quant' \
    'kolo serve --downloads-stall-timeout' \
    'kolo serve --downloads-insecure-registries' \
    'kolo serve --cache-max-size' \
    'kolo serve --monitor-socket' \
    'kolo serve --history-max-size' \
    'kolo serve --history-keep-minutes' \
    'kolo serve --history-keep-ten-minutes' \
    'kolo serve --otel-endpoint' \
    'kolo serve --log-level' \
    'kolo serve --log-format' \
    'kolo serve --log-file' \
    'kolo ps --url' \
    'kolo top -n' \
    'kolo top --count' \
    'kolo top --interval' \
    'kolo top --record' \
    'kolo top --replay' \
    'kolo top --speed' \
    'kolo top --seed' \
    'kolo top --remote' \
    'kolo top --socket' \
    'kolo top --url' \
    'kolo top --theme' \
    'kolo load --id' \
    'kolo load --ctx' \
    'kolo load --parallel' \
    'kolo load --gpu-layers' \
    'kolo load --ttl' \
    'kolo load --url' \
    'kolo unload --url' \
    'kolo logs -n' \
    'kolo logs --lines' \
    'kolo logs --url' \
    'kolo reload --url' \
    'kolo keys create --scope' \
    'kolo keys create --expires' \
    'kolo keys create --requests-per-minute' \
    'kolo keys create --tokens-per-minute' \
    'kolo audit -n' \
    'kolo audit --last' \
    'kolo audit verify --head' \
    'kolo service install --as' \
    'kolo pull --name' \
    'kolo rollback --to' \
    'kolo bench -m' \
    'kolo bench --model' \
    'kolo bench --url' \
    'kolo bench --api-key' \
    'kolo bench -c' \
    'kolo bench --concurrency' \
    'kolo bench --rate' \
    'kolo bench --arrival' \
    'kolo bench --goal' \
    'kolo bench -w' \
    'kolo bench --workload' \
    'kolo bench --file' \
    'kolo bench --schema' \
    'kolo bench -p' \
    'kolo bench --prompt-tokens' \
    'kolo bench --output-tokens' \
    'kolo bench --prefix-tokens' \
    'kolo bench --long-tokens' \
    'kolo bench --turns' \
    'kolo bench --body' \
    'kolo bench --api' \
    'kolo bench -n' \
    'kolo bench --requests' \
    'kolo bench --duration' \
    'kolo bench --rounds' \
    'kolo bench --warmup' \
    'kolo bench --seed' \
    'kolo bench --timeout' \
    'kolo bench --ctx' \
    'kolo bench --parallel' \
    'kolo bench --threads' \
    'kolo bench --gpu-layers' \
    'kolo bench --depth' \
    'kolo bench --shape' \
    'kolo bench -o' \
    'kolo bench --output' \
    'kolo bench --save' \
    'kolo bench compare --fail-if' \
    'kolo bench history -n' \
    'kolo bench history --last' \
    'kolo bench show -o' \
    'kolo bench show --output'

# Which command the line has come to, and how many arguments it has. Asked for each line below, so
# it is worked out once for each line that is typed.
function __kolo_scan
    set -l tokens (commandline -opc)
    if test "$tokens" = "$__kolo_tokens"
        return
    end
    set -g __kolo_tokens $tokens
    set -g __kolo_path kolo
    set -g __kolo_arguments
    set -l skip 0
    set -l only_arguments 0
    for token in $tokens[2..-1]
        if test $skip = 1
            set skip 0
        else if test $only_arguments = 1
            set -a __kolo_arguments $token
        else if test "$token" = --
            set only_arguments 1
        else if string match -q -- '-*' $token
            if contains -- "$__kolo_path $token" $__kolo_valued
                set skip 1
            end
        else if contains -- "$__kolo_path $token" $__kolo_commands
            set __kolo_path "$__kolo_path $token"
            set __kolo_arguments
        else
            set -a __kolo_arguments $token
        end
    end
end

# Whether the line is at a command; with a number, at that argument of it, with "+" or a later one.
function __kolo_at
    __kolo_scan
    test "$__kolo_path" = "$argv[1]"; or return
    set -q argv[2]; or return 0
    set -l next (math (count $__kolo_arguments) + 1)
    if string match -q '*+' $argv[2]
        test $next -ge (string trim -r -c + $argv[2])
    else
        test $next -eq $argv[2]
    end
end

# What only this machine knows: "value<tab>what it is", a line each.
function __kolo_ask
    set -l program (commandline -opc)[1]
    command -sq -- $program; or set program kolo
    $program __complete $argv $__kolo_arguments[1] 2>/dev/null </dev/null
end

complete -c kolo -f

complete -c kolo -n '__kolo_at "kolo" 1' -a chat -d 'Talk with a model'
complete -c kolo -n '__kolo_at "kolo" 1' -a complete -d 'Ask a model once'
complete -c kolo -n '__kolo_at "kolo" 1' -a embed -d 'Turn texts into vectors'
complete -c kolo -n '__kolo_at "kolo" 1' -a serve -d 'Serve models over HTTP'
complete -c kolo -n '__kolo_at "kolo" 1' -a ps -d 'Show the engines of a running server'
complete -c kolo -n '__kolo_at "kolo" 1' -a top -d 'Watch a server: engines, requests, GPUs'
complete -c kolo -n '__kolo_at "kolo" 1' -a load -d 'Load a model into a running server'
complete -c kolo -n '__kolo_at "kolo" 1' -a unload -d 'Unload an engine of a running server'
complete -c kolo -n '__kolo_at "kolo" 1' -a logs -d 'Show what a server, or an engine, has said'
complete -c kolo -n '__kolo_at "kolo" 1' -a reload -d 'Have a server read its settings anew'
complete -c kolo -n '__kolo_at "kolo" 1' -a keys -d 'Make and revoke API keys'
complete -c kolo -n '__kolo_at "kolo" 1' -a audit -d 'Show who changed what on a server'
complete -c kolo -n '__kolo_at "kolo" 1' -a service -d 'Run the server under systemd'
complete -c kolo -n '__kolo_at "kolo" 1' -a pull -d 'Fetch a model, or register a file'
complete -c kolo -n '__kolo_at "kolo" 1' -a ls -d 'List the models of this machine'
complete -c kolo -n '__kolo_at "kolo" 1' -a show -d 'Show what is known of a model'
complete -c kolo -n '__kolo_at "kolo" 1' -a rm -d 'Remove models from the store'
complete -c kolo -n '__kolo_at "kolo" 1' -a alias -d 'Give a model a further name'
complete -c kolo -n '__kolo_at "kolo" 1' -a rollback -d 'Return a model to its former version'
complete -c kolo -n '__kolo_at "kolo" 1' -a verify -d 'Check stored models against their sums'
complete -c kolo -n '__kolo_at "kolo" 1' -a prune -d 'Remove what the store no longer needs'
complete -c kolo -n '__kolo_at "kolo" 1' -a bench -d 'Measure how fast a model answers'
complete -c kolo -n '__kolo_at "kolo" 1' -a doctor -d 'Check that all is as it must be'
complete -c kolo -n '__kolo_at "kolo" 1' -a config -d 'Read and change the settings'
complete -c kolo -n '__kolo_at "kolo" 1' -a completion -d 'Have your shell complete commands and names'
complete -c kolo -n '__kolo_at "kolo" 1' -a path -d 'Show the folders Kolo reads and writes'
complete -c kolo -n '__kolo_at "kolo" 1' -a help -d 'Explain a command or a topic'
complete -c kolo -n '__kolo_at "kolo"' -l color -r -f -a 'auto always never' -d 'Colour on a terminal'
complete -c kolo -n '__kolo_at "kolo"' -l profile -r -f -a '(__kolo_ask profiles)' -d 'Settings of this profile over the others'
complete -c kolo -n '__kolo_at "kolo"' -l version -d 'Show the version and leave'
complete -c kolo -n '__kolo_at "kolo"' -l spec -d 'Show every command, option and exit code as JSON, and leave'
complete -c kolo -n '__kolo_at "kolo"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo chat"' -s m -l model -r -f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)' -d 'Which model: a name that kolo ls shows or the beginning of one, or a path to a .gguf file'
complete -c kolo -n '__kolo_at "kolo chat"' -l system -x -d 'The system message'
complete -c kolo -n '__kolo_at "kolo chat"' -l resume -r -f -a '(__kolo_ask sessions)' -d 'Go on with a conversation: its name, a part of it, or a file'
complete -c kolo -n '__kolo_at "kolo chat"' -l last -d 'Go on with the last conversation'
complete -c kolo -n '__kolo_at "kolo chat"' -l list -d 'List the conversations that are kept'
complete -c kolo -n '__kolo_at "kolo chat"' -l no-history -d 'Keep nothing: neither what is typed nor the conversation'
complete -c kolo -n '__kolo_at "kolo chat"' -l plain -d 'Show answers as they come, without Markdown'
complete -c kolo -n '__kolo_at "kolo chat"' -s q -l quiet -d 'With --list, the names alone'
complete -c kolo -n '__kolo_at "kolo chat"' -l json -d 'With PROMPT an object as of kolo complete, with --list an array of conversations'
complete -c kolo -n '__kolo_at "kolo chat"' -s n -l max-tokens -x -d 'At most this many tokens'
complete -c kolo -n '__kolo_at "kolo chat"' -l temp -l temperature -x -d 'Temperature'
complete -c kolo -n '__kolo_at "kolo chat"' -l top-p -x -d 'Only the likeliest tokens that together have this probability'
complete -c kolo -n '__kolo_at "kolo chat"' -l top-k -x -d 'Only the K likeliest tokens'
complete -c kolo -n '__kolo_at "kolo chat"' -l min-p -x -d 'Only tokens at least this likely, relative to the likeliest'
complete -c kolo -n '__kolo_at "kolo chat"' -l seed -x -d 'Makes the draw repeatable'
complete -c kolo -n '__kolo_at "kolo chat"' -l local -d 'Use no server although one runs, but an engine of this command\'s own'
complete -c kolo -n '__kolo_at "kolo chat"' -l url -r -f -a '(__kolo_ask urls)' -d 'Address of the server'
complete -c kolo -n '__kolo_at "kolo chat"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo complete"' -s m -l model -r -f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)' -d 'Which model: a name that kolo ls shows or the beginning of one, or a path to a .gguf file'
complete -c kolo -n '__kolo_at "kolo complete"' -s n -l max-tokens -x -d 'At most this many tokens'
complete -c kolo -n '__kolo_at "kolo complete"' -l system -x -d 'The system message'
complete -c kolo -n '__kolo_at "kolo complete"' -l file -r -F -d 'Text that goes before the rest'
complete -c kolo -n '__kolo_at "kolo complete"' -l template -r -F -d 'The prompt is the text of FILE, its {{ variables }} filled in (Jinja)'
complete -c kolo -n '__kolo_at "kolo complete"' -l var -x -d 'A variable of the template'
complete -c kolo -n '__kolo_at "kolo complete"' -l vars -r -F -d 'More, a JSON object'
complete -c kolo -n '__kolo_at "kolo complete"' -l json -d 'One JSON object with text, model, finish_reason, usage, timings and seed'
complete -c kolo -n '__kolo_at "kolo complete"' -l schema -r -F -d 'The answer is JSON that fits the JSON Schema in FILE'
complete -c kolo -n '__kolo_at "kolo complete"' -l grammar -r -F -d 'The answer fits the GBNF grammar in FILE'
complete -c kolo -n '__kolo_at "kolo complete"' -l choices -x -d 'The answer is exactly one of these'
complete -c kolo -n '__kolo_at "kolo complete"' -l stop -x -d 'End the answer before this text'
complete -c kolo -n '__kolo_at "kolo complete"' -l temp -l temperature -x -d 'Temperature'
complete -c kolo -n '__kolo_at "kolo complete"' -l top-p -x -d 'Only the likeliest tokens that together have this probability'
complete -c kolo -n '__kolo_at "kolo complete"' -l top-k -x -d 'Only the K likeliest tokens'
complete -c kolo -n '__kolo_at "kolo complete"' -l min-p -x -d 'Only tokens at least this likely, relative to the likeliest'
complete -c kolo -n '__kolo_at "kolo complete"' -l seed -x -d 'Makes the draw repeatable'
complete -c kolo -n '__kolo_at "kolo complete"' -l n -x -d 'This many answers, one after another'
complete -c kolo -n '__kolo_at "kolo complete"' -l logprobs -x -d 'With --json: the log-probability of each token, and the N likeliest at its place'
complete -c kolo -n '__kolo_at "kolo complete"' -l raw -d 'No chat template: the model carries the prompt on'
complete -c kolo -n '__kolo_at "kolo complete"' -l jsonl -r -F -d 'Requests from a file, or -: a line each, a text or an object with prompt or messages, and id, model, system, temperature and the like of its own'
complete -c kolo -n '__kolo_at "kolo complete"' -l out -r -F -d 'Results of --jsonl go there'
complete -c kolo -n '__kolo_at "kolo complete"' -l retry-failed -d 'Ask again what has an error in --out'
complete -c kolo -n '__kolo_at "kolo complete"' -l concurrency -x -d 'Requests of --jsonl that are under way at a time'
complete -c kolo -n '__kolo_at "kolo complete"' -l timeout -x -d 'Give up after this long, loading included'
complete -c kolo -n '__kolo_at "kolo complete"' -l retries -x -d 'Try so often again, after a pause, what may succeed then: a server that is gone, busy or restarted, an engine that crashed'
complete -c kolo -n '__kolo_at "kolo complete"' -l allow-cut -d 'An answer that the length limit cut is as good as whole'
complete -c kolo -n '__kolo_at "kolo complete"' -l local -d 'Use no server although one runs, but an engine of this command\'s own'
complete -c kolo -n '__kolo_at "kolo complete"' -l url -r -f -a '(__kolo_ask urls)' -d 'Address of the server'
complete -c kolo -n '__kolo_at "kolo complete"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo embed"' -s m -l model -r -f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)' -d 'Which model: a name that kolo ls shows or the beginning of one, or a path to a .gguf file'
complete -c kolo -n '__kolo_at "kolo embed"' -l file -r -F -d 'The text of a file, after TEXT'
complete -c kolo -n '__kolo_at "kolo embed"' -l lines -d 'Each line of --file and of standard input is a text of its own'
complete -c kolo -n '__kolo_at "kolo embed"' -l dimensions -x -d 'Only the first N of a vector, at unit length again: for models trained for it'
complete -c kolo -n '__kolo_at "kolo embed"' -s o -l output -r -f -a 'jsonl json csv npy' -d 'jsonl (a line for each text, the default), json (one document), csv (a row for each text), npy (NumPy\'s format, 32-bit floats)'
complete -c kolo -n '__kolo_at "kolo embed"' -l json -d 'The same as -o json'
complete -c kolo -n '__kolo_at "kolo embed"' -l jsonl -r -F -d 'Texts from a file, or -: a line each, a text or an object with text, and id and model of its own'
complete -c kolo -n '__kolo_at "kolo embed"' -l out -r -F -d 'Results of --jsonl go there'
complete -c kolo -n '__kolo_at "kolo embed"' -l retry-failed -d 'Ask again what has an error in --out'
complete -c kolo -n '__kolo_at "kolo embed"' -l concurrency -x -d 'Requests of --jsonl that are under way at a time'
complete -c kolo -n '__kolo_at "kolo embed"' -l timeout -x -d 'Give up after this long, loading included'
complete -c kolo -n '__kolo_at "kolo embed"' -l retries -x -d 'Try so often again, after a pause, what may succeed then: a server that is gone, busy or restarted, an engine that crashed'
complete -c kolo -n '__kolo_at "kolo embed"' -l local -d 'Use no server although one runs, but an engine of this command\'s own'
complete -c kolo -n '__kolo_at "kolo embed"' -l url -r -f -a '(__kolo_ask urls)' -d 'Address of the server'
complete -c kolo -n '__kolo_at "kolo embed"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo serve"' -l models-dir -r -F -d 'Serve every .gguf file in DIR, and in its folders, by its name'
complete -c kolo -n '__kolo_at "kolo serve"' -l json -d 'One JSON object, on one line, when it listens: url, pid, models, loading, monitor'
complete -c kolo -n '__kolo_at "kolo serve"' -l default-model -x -d 'The model of a command that names none: guide, a name of [models] below, or a path'
complete -c kolo -n '__kolo_at "kolo serve"' -l ctx -x -d 'Tokens of context for each request'
complete -c kolo -n '__kolo_at "kolo serve"' -l parallel -x -d 'Requests served at the same time'
complete -c kolo -n '__kolo_at "kolo serve"' -l batch -x -d 'Tokens in one call of llama.cpp at most'
complete -c kolo -n '__kolo_at "kolo serve"' -l ubatch -x -d 'Tokens computed at once at most'
complete -c kolo -n '__kolo_at "kolo serve"' -l threads -x -d 'Threads while generating'
complete -c kolo -n '__kolo_at "kolo serve"' -l threads-batch -x -d 'Threads while reading prompts'
complete -c kolo -n '__kolo_at "kolo serve"' -l gpu-layers -x -d 'Layers on GPUs'
complete -c kolo -n '__kolo_at "kolo serve"' -l main-gpu -x -d 'GPU for what is not split'
complete -c kolo -n '__kolo_at "kolo serve"' -l split-mode -x -d 'How a model is spread over GPUs: none, layer or row'
complete -c kolo -n '__kolo_at "kolo serve"' -l tensor-split -x -d 'Share of each GPU'
complete -c kolo -n '__kolo_at "kolo serve"' -l devices -x -d 'GPUs to use'
complete -c kolo -n '__kolo_at "kolo serve"' -l kv-type-k -x -d 'Type of the keys in the KV cache: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0 or iq4_nl'
complete -c kolo -n '__kolo_at "kolo serve"' -l kv-type-v -x -d 'As kv_type_k, of the values'
complete -c kolo -n '__kolo_at "kolo serve"' -l kv-unified -l no-kv-unified -d 'One pool of KV cells for all requests instead of an equal part for each'
complete -c kolo -n '__kolo_at "kolo serve"' -l kv-offload -l no-kv-offload -d 'Keep the KV cache of layers on a GPU there'
complete -c kolo -n '__kolo_at "kolo serve"' -l flash-attn -x -d 'Flash attention: auto, on or off'
complete -c kolo -n '__kolo_at "kolo serve"' -l rope-scaling -x -d 'Stretching the context: none, linear, yarn or longrope'
complete -c kolo -n '__kolo_at "kolo serve"' -l rope-freq-base -x -d 'Base frequency of the rotary positions'
complete -c kolo -n '__kolo_at "kolo serve"' -l rope-freq-scale -x -d 'Positions are multiplied by this'
complete -c kolo -n '__kolo_at "kolo serve"' -l yarn-ext-factor -x -d 'YaRN: how far between interpolation (0) and extrapolation (1)'
complete -c kolo -n '__kolo_at "kolo serve"' -l yarn-attn-factor -x -d 'YaRN: scale of the attention\'s magnitude'
complete -c kolo -n '__kolo_at "kolo serve"' -l yarn-beta-fast -x -d 'YaRN: rotations over the context above which a dimension is left as it is'
complete -c kolo -n '__kolo_at "kolo serve"' -l yarn-beta-slow -x -d 'YaRN: rotations below which one is interpolated in full'
complete -c kolo -n '__kolo_at "kolo serve"' -l yarn-orig-ctx -x -d 'YaRN: tokens of context that the model was trained for'
complete -c kolo -n '__kolo_at "kolo serve"' -l lora -x -d 'LoRA adapters: [{path = "adapter.gguf", scale = 1.0}]'
complete -c kolo -n '__kolo_at "kolo serve"' -l mmap -l no-mmap -d 'Map the file instead of reading it'
complete -c kolo -n '__kolo_at "kolo serve"' -l mlock -l no-mlock -d 'Keep the model from being swapped out'
complete -c kolo -n '__kolo_at "kolo serve"' -l check-tensors -l no-check-tensors -d 'Look for broken numbers in the weights while loading'
complete -c kolo -n '__kolo_at "kolo serve"' -l warmup -l no-warmup -d 'Compute once at load, so that the first request is quick'
complete -c kolo -n '__kolo_at "kolo serve"' -l pooling -x -d 'How an embedding is made of a text: mean, cls, last, rank or none'
complete -c kolo -n '__kolo_at "kolo serve"' -l chat-template -x -d 'Jinja source to use instead of the model\'s own chat template'
complete -c kolo -n '__kolo_at "kolo serve"' -l cache-store-bytes -x -d 'Bytes of host memory for prefixes that have left the KV cache'
complete -c kolo -n '__kolo_at "kolo serve"' -l prefill-budget-ms -x -d 'How long, in milliseconds, reading a prompt may hold up the answers under way at a time'
complete -c kolo -n '__kolo_at "kolo serve"' -l speculation -x -d 'Guess several tokens at once, from the text so far or by a draft model, and let the model check them: auto (where that pays), always or off'
complete -c kolo -n '__kolo_at "kolo serve"' -l draft-model -x -d 'A smaller model of the same vocabulary, a GGUF file, that makes the guesses'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-temperature -x -d '0 always takes the likeliest token'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-dynatemp-range -x -d 'How far the temperature goes up and down with the entropy of what is to be drawn'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-dynatemp-exponent -x -d 'The curve from entropy to that temperature'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-top-k -x -d 'Only so many of the likeliest tokens'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-top-p -x -d 'Only the likeliest tokens that together have this probability'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-min-p -x -d 'Only tokens at least this likely, relative to the likeliest'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-typical-p -x -d 'Only tokens about as surprising as is typical, up to this probability'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-top-n-sigma -x -d 'Only tokens whose logit is within so many standard deviations of the best'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-xtc-probability -x -d 'XTC: how often all but the least likely of the good tokens are left out'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-xtc-threshold -x -d 'XTC: the probability from which a token counts as good'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-dry-multiplier -x -d 'DRY, against repeated passages: the weight of the penalty'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-dry-base -x -d 'DRY: the penalty grows by this factor with each repeated token'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-dry-allowed-length -x -d 'DRY: a repetition of so many tokens costs nothing'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-dry-penalty-last-n -x -d 'DRY: so many of the last tokens are searched'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-dry-sequence-breakers -x -d 'DRY: texts at which a passage ends'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-repeat-penalty -x -d 'What the logit of a token that is among the last repeat_last_n is divided by'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-repeat-last-n -x -d 'How many tokens the penalties look back'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-presence-penalty -x -d 'Taken from the logit of a token that is there at all'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-frequency-penalty -x -d 'Taken from it once for each time that it is there'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-mirostat -x -d 'Mirostat, version 1 or 2, in place of the other filters'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-mirostat-tau -x -d 'Mirostat: the surprise, in bits, that is aimed at'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-mirostat-eta -x -d 'Mirostat: how quickly it corrects itself'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-min-keep -x -d 'Candidates that every filter leaves at least'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-samplers -x -d 'The order of the chain'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-seed -x -d '-1 draws a seed for each request'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-logit-bias -x -d 'Token id or text to what is added to its logit'
complete -c kolo -n '__kolo_at "kolo serve"' -l sampling-ignore-eos -l no-sampling-ignore-eos -d 'Never end an answer by the model\'s own wish'
complete -c kolo -n '__kolo_at "kolo serve"' -l stop -x -d 'Texts that end an answer, beside those that a request names'
complete -c kolo -n '__kolo_at "kolo serve"' -l system -x -d 'The system message of a conversation that has none'
complete -c kolo -n '__kolo_at "kolo serve"' -l manager-memory-budget -x -d 'Memory for all engines together: a size, or a share such as "80%"'
complete -c kolo -n '__kolo_at "kolo serve"' -l manager-max-engines -x -d 'Engines loaded at a time'
complete -c kolo -n '__kolo_at "kolo serve"' -l manager-idle-unload -x -d 'An engine unused for so long is unloaded'
complete -c kolo -n '__kolo_at "kolo serve"' -l manager-load-timeout -x -d 'A load that takes longer is given up'
complete -c kolo -n '__kolo_at "kolo serve"' -l manager-hang-timeout -x -d 'An engine that has work and says nothing for so long, though it is asked, is ended: its requests fail, and the next one starts it again'
complete -c kolo -n '__kolo_at "kolo serve"' -l manager-max-queue -x -d 'Requests that may wait for a slot of one engine'
complete -c kolo -n '__kolo_at "kolo serve"' -l manager-restart-backoff -x -d 'Pause before an engine that crashed twice in a row is started again'
complete -c kolo -n '__kolo_at "kolo serve"' -l manager-restart-backoff-max -x -d 'The longest such pause'
complete -c kolo -n '__kolo_at "kolo serve"' -l host -x -d 'Address to listen on'
complete -c kolo -n '__kolo_at "kolo serve"' -l port -x -d '0 takes any free port'
complete -c kolo -n '__kolo_at "kolo serve"' -l request-timeout -x -d 'A request that takes longer is ended'
complete -c kolo -n '__kolo_at "kolo serve"' -l max-body -x -d 'Largest request body'
complete -c kolo -n '__kolo_at "kolo serve"' -l body-timeout -x -d 'A client that takes longer to send it is turned away'
complete -c kolo -n '__kolo_at "kolo serve"' -l heartbeat -x -d 'A stream that is silent for so long sends a comment, so that nobody on the way ends it'
complete -c kolo -n '__kolo_at "kolo serve"' -l stop-timeout -x -d 'Answers under way may go on for so long when the server is told to stop'
complete -c kolo -n '__kolo_at "kolo serve"' -l header-timeout -x -d 'A client that takes longer to send a request\'s headers is turned away'
complete -c kolo -n '__kolo_at "kolo serve"' -l send-timeout -x -d 'A client that takes nothing of its answer for so long is given up'
complete -c kolo -n '__kolo_at "kolo serve"' -l idle-timeout -x -d 'A connection is kept for so long after a request'
complete -c kolo -n '__kolo_at "kolo serve"' -l max-header -x -d 'Largest headers of a request'
complete -c kolo -n '__kolo_at "kolo serve"' -l max-connections -x -d 'Connections at a time'
complete -c kolo -n '__kolo_at "kolo serve"' -l socket -x -d 'Unix socket that is listened on as well'
complete -c kolo -n '__kolo_at "kolo serve"' -l socket-mode -x -d 'Who may open it: its mode, in octal digits'
complete -c kolo -n '__kolo_at "kolo serve"' -l tls-cert -x -d 'Certificate with its chain, PEM: TLS on the port, with HTTP/2'
complete -c kolo -n '__kolo_at "kolo serve"' -l tls-key -x -d 'The key of tls_cert, PEM'
complete -c kolo -n '__kolo_at "kolo serve"' -l require-key -x -d 'Whether a request needs a key: auto (as soon as a key was made, and always where others than this machine can reach the server), always or never'
complete -c kolo -n '__kolo_at "kolo serve"' -l allow-unauthenticated -l no-allow-unauthenticated -d 'Listen beyond this machine although there are no keys: whoever reaches it may use it'
complete -c kolo -n '__kolo_at "kolo serve"' -l allowed-hosts -x -d 'Names that requests may call the server by, beside localhost and addresses in numbers'
complete -c kolo -n '__kolo_at "kolo serve"' -l requests-per-minute -x -d 'Requests a minute of each key, or of each address without one'
complete -c kolo -n '__kolo_at "kolo serve"' -l tokens-per-minute -x -d 'Tokens a minute, of prompts and answers together, likewise'
complete -c kolo -n '__kolo_at "kolo serve"' -l cors-origins -x -d 'Their addresses, https://HOST[:PORT] each'
complete -c kolo -n '__kolo_at "kolo serve"' -l cors-methods -x -d 'What such a page may do'
complete -c kolo -n '__kolo_at "kolo serve"' -l cors-headers -x -d 'Headers that it may send'
complete -c kolo -n '__kolo_at "kolo serve"' -l cors-credentials -l no-cors-credentials -d 'Whether such a page may send cookies and the like'
complete -c kolo -n '__kolo_at "kolo serve"' -l cors-max-age -x -d 'How long a browser need not ask again'
complete -c kolo -n '__kolo_at "kolo serve"' -l store-dir -x -d 'The store'
complete -c kolo -n '__kolo_at "kolo serve"' -l store-folders -x -d 'Folders of .gguf files that are known by their names too, and stay where they are'
complete -c kolo -n '__kolo_at "kolo serve"' -l store-hub-cache -x -d 'What Hugging Face\'s own tools have fetched is known too: their folder, or "off"'
complete -c kolo -n '__kolo_at "kolo serve"' -l store-ollama-registry -x -d 'The registry of ollama: references'
complete -c kolo -n '__kolo_at "kolo serve"' -l downloads-quant -x -d 'Taken where a reference leaves it open'
complete -c kolo -n '__kolo_at "kolo serve"' -l downloads-allow-private -l no-downloads-allow-private -d 'Let requests make the server fetch from addresses that are not public'
complete -c kolo -n '__kolo_at "kolo serve"' -l downloads-stall-timeout -x -d 'A connection on which nothing comes for so long is given up, and made anew'
complete -c kolo -n '__kolo_at "kolo serve"' -l downloads-insecure-registries -x -d 'Registries (HOST or HOST:PORT) that speak http'
complete -c kolo -n '__kolo_at "kolo serve"' -l cache-save -l no-cache-save -d 'false saves nothing'
complete -c kolo -n '__kolo_at "kolo serve"' -l cache-max-size -x -d 'Largest size of it all'
complete -c kolo -n '__kolo_at "kolo serve"' -l monitor-socket -x -d 'Unix socket on which a server says what it does'
complete -c kolo -n '__kolo_at "kolo serve"' -l history-enabled -l no-history-enabled -d 'false keeps nothing'
complete -c kolo -n '__kolo_at "kolo serve"' -l history-max-size -x -d 'Largest size of the file and its log, 4MiB at least'
complete -c kolo -n '__kolo_at "kolo serve"' -l history-keep-minutes -x -d 'Figures of each minute are kept so long, then those of ten minutes alone'
complete -c kolo -n '__kolo_at "kolo serve"' -l history-keep-ten-minutes -x -d 'Those are kept so long, then those of each hour alone'
complete -c kolo -n '__kolo_at "kolo serve"' -l otel-enabled -l no-otel-enabled -d 'true sends them'
complete -c kolo -n '__kolo_at "kolo serve"' -l otel-endpoint -x -d 'Base URL of the collector'
complete -c kolo -n '__kolo_at "kolo serve"' -l log-level -x -d 'What is less grave is left out: debug, info, warning or error'
complete -c kolo -n '__kolo_at "kolo serve"' -l log-format -x -d 'text for people, json for machines: one object a line'
complete -c kolo -n '__kolo_at "kolo serve"' -l log-file -x -d 'A file that lines are appended to'
complete -c kolo -n '__kolo_at "kolo serve"' -l log-access -l no-log-access -d 'A line for each request: who, which path, status, bytes, how long'
complete -c kolo -n '__kolo_at "kolo serve"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo serve" 1+' -f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)'
complete -c kolo -n '__kolo_at "kolo ps"' -s q -l quiet -d 'The ids alone'
complete -c kolo -n '__kolo_at "kolo ps"' -l url -r -f -a '(__kolo_ask urls)' -d 'Address of the server'
complete -c kolo -n '__kolo_at "kolo ps"' -l json -d 'An array of objects, with times in seconds and sizes in bytes'
complete -c kolo -n '__kolo_at "kolo ps"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo top"' -l once -d 'Print one table and leave'
complete -c kolo -n '__kolo_at "kolo top"' -l json -d 'Print one snapshot as JSON and leave'
complete -c kolo -n '__kolo_at "kolo top"' -l jsonl -d 'Print every message, a line of JSON each'
complete -c kolo -n '__kolo_at "kolo top"' -s n -l count -x -d 'With --jsonl: end after N snapshots'
complete -c kolo -n '__kolo_at "kolo top"' -l interval -x -d 'Seconds between snapshots'
complete -c kolo -n '__kolo_at "kolo top"' -l record -r -F -d 'Write what is seen to a new file as well'
complete -c kolo -n '__kolo_at "kolo top"' -l replay -r -F -d 'Show a recording instead of a server'
complete -c kolo -n '__kolo_at "kolo top"' -l speed -x -d 'With --replay: so many times as fast'
complete -c kolo -n '__kolo_at "kolo top"' -l demo -d 'Show a made-up server'
complete -c kolo -n '__kolo_at "kolo top"' -l seed -x -d 'With --demo: which one'
complete -c kolo -n '__kolo_at "kolo top"' -l remote -r -f -a '(__fish_print_hostnames)' -d 'The server of another machine, over ssh'
complete -c kolo -n '__kolo_at "kolo top"' -l socket -r -F -d 'Monitor socket of the server'
complete -c kolo -n '__kolo_at "kolo top"' -l url -r -f -a '(__kolo_ask urls)' -d 'Address of the server'
complete -c kolo -n '__kolo_at "kolo top"' -l readonly -d 'Without the keys that change anything'
complete -c kolo -n '__kolo_at "kolo top"' -l theme -x -d 'Colours, such as kolo-light'
complete -c kolo -n '__kolo_at "kolo top"' -l ascii -d 'Draw with ASCII alone'
complete -c kolo -n '__kolo_at "kolo top"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo load"' -l id -x -d 'Load it as another engine, known by this name'
complete -c kolo -n '__kolo_at "kolo load"' -l ctx -x -d 'Tokens of context for each request'
complete -c kolo -n '__kolo_at "kolo load"' -l parallel -x -d 'Requests answered at the same time'
complete -c kolo -n '__kolo_at "kolo load"' -l gpu-layers -x -d 'Layers on GPUs'
complete -c kolo -n '__kolo_at "kolo load"' -l pin -d 'Never unload it to make room, nor when idle'
complete -c kolo -n '__kolo_at "kolo load"' -l ttl -x -d 'Unload it when unused for so long, such as 10m'
complete -c kolo -n '__kolo_at "kolo load"' -l wait -l no-wait -d 'Wait until it is loaded, which is the default'
complete -c kolo -n '__kolo_at "kolo load"' -l dry-run -d 'Load nothing: show what it would take, whether that fits (exit code 5 if not), and what would be unloaded for it'
complete -c kolo -n '__kolo_at "kolo load"' -l url -r -f -a '(__kolo_ask urls)' -d 'Address of the server'
complete -c kolo -n '__kolo_at "kolo load"' -l json -d 'The engine as one JSON object, as kolo ps --json shows it'
complete -c kolo -n '__kolo_at "kolo load"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo load" 1' -f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)'
complete -c kolo -n '__kolo_at "kolo unload"' -l force -d 'Also when requests are running, which then fail'
complete -c kolo -n '__kolo_at "kolo unload"' -l forget -d 'Also remove an engine that was added at run time'
complete -c kolo -n '__kolo_at "kolo unload"' -l url -r -f -a '(__kolo_ask urls)' -d 'Address of the server'
complete -c kolo -n '__kolo_at "kolo unload"' -l json -d 'One JSON object: id, unloaded (false if it was not loaded), forgotten'
complete -c kolo -n '__kolo_at "kolo unload"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo unload" 1' -f -a '(__kolo_ask engines)'
complete -c kolo -n '__kolo_at "kolo logs"' -s f -l follow -d 'Go on with each new line, until Ctrl-C'
complete -c kolo -n '__kolo_at "kolo logs"' -s n -l lines -x -d 'Begin with the last N lines'
complete -c kolo -n '__kolo_at "kolo logs"' -l url -r -f -a '(__kolo_ask urls)' -d 'Address of the server'
complete -c kolo -n '__kolo_at "kolo logs"' -l json -d 'An array of objects: level, timestamp, message'
complete -c kolo -n '__kolo_at "kolo logs"' -l jsonl -d 'Such an object a line'
complete -c kolo -n '__kolo_at "kolo logs"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo logs" 1' -f -a '(__kolo_ask every-engine)'
complete -c kolo -n '__kolo_at "kolo reload"' -l url -r -f -a '(__kolo_ask urls)' -d 'Address of the server'
complete -c kolo -n '__kolo_at "kolo reload"' -l json -d 'One JSON object: file, settings, needs_restart, engines_changed, engines_removed'
complete -c kolo -n '__kolo_at "kolo reload"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo keys" 1' -a create -d 'Make a key, and show its secret once'
complete -c kolo -n '__kolo_at "kolo keys" 1' -a ls -d 'List the keys'
complete -c kolo -n '__kolo_at "kolo keys" 1' -a revoke -d 'Make keys invalid'
complete -c kolo -n '__kolo_at "kolo keys"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo keys create"' -l scope -r -f -a 'infer read manage' -d 'What it may do, several times: infer, ask models and see which there are'
complete -c kolo -n '__kolo_at "kolo keys create"' -l expires -x -d 'From when on it is not valid: after a time such as 90d, or a date such as 2030-01-31'
complete -c kolo -n '__kolo_at "kolo keys create"' -l requests-per-minute -x -d 'Its own limit, in place of access.requests_per_minute'
complete -c kolo -n '__kolo_at "kolo keys create"' -l tokens-per-minute -x -d 'Likewise, of prompts and answers'
complete -c kolo -n '__kolo_at "kolo keys create"' -l json -d 'An object: the key and its secret'
complete -c kolo -n '__kolo_at "kolo keys create"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo keys ls"' -s q -l quiet -d 'The ids of valid ones alone'
complete -c kolo -n '__kolo_at "kolo keys ls"' -l json -d 'An array of objects'
complete -c kolo -n '__kolo_at "kolo keys ls"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo keys revoke"' -l json -d 'An array of objects: the keys that were revoked'
complete -c kolo -n '__kolo_at "kolo keys revoke"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo keys revoke" 1+' -f -a '(__kolo_ask api-keys)'
complete -c kolo -n '__kolo_at "kolo audit" 1' -a verify -d 'Check that nobody changed the log'
complete -c kolo -n '__kolo_at "kolo audit"' -s n -l last -x -d 'How many'
complete -c kolo -n '__kolo_at "kolo audit"' -l json -d 'An array of objects, oldest first'
complete -c kolo -n '__kolo_at "kolo audit"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo audit verify"' -l head -x -d 'A sum that was printed before'
complete -c kolo -n '__kolo_at "kolo audit verify"' -l json -d 'An object: lines, head, torn'
complete -c kolo -n '__kolo_at "kolo audit verify"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo service" 1' -a install -d 'Write the unit, and start it with the machine'
complete -c kolo -n '__kolo_at "kolo service" 1' -a reload -d 'Have it read its settings anew'
complete -c kolo -n '__kolo_at "kolo service" 1' -a restart -d 'Stop the service and start it'
complete -c kolo -n '__kolo_at "kolo service" 1' -a start -d 'Start the service'
complete -c kolo -n '__kolo_at "kolo service" 1' -a status -d 'Say whether it runs'
complete -c kolo -n '__kolo_at "kolo service" 1' -a stop -d 'Stop the service'
complete -c kolo -n '__kolo_at "kolo service" 1' -a uninstall -d 'Stop it and remove the unit'
complete -c kolo -n '__kolo_at "kolo service"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo service install"' -l user -d 'Your own service, not the machine\'s'
complete -c kolo -n '__kolo_at "kolo service install"' -l as -r -f -a '(__fish_complete_users)' -d 'Run as this user'
complete -c kolo -n '__kolo_at "kolo service install"' -l now -d 'Start it too, or restart it if the unit has changed'
complete -c kolo -n '__kolo_at "kolo service install"' -l dry-run -d 'Write the unit to stdout and change nothing'
complete -c kolo -n '__kolo_at "kolo service install"' -l json -d 'One JSON object: how the service is then'
complete -c kolo -n '__kolo_at "kolo service install"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo service reload"' -l user -d 'Your own service, not the machine\'s'
complete -c kolo -n '__kolo_at "kolo service reload"' -l json -d 'One JSON object: how the service is then, as of kolo service status'
complete -c kolo -n '__kolo_at "kolo service reload"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo service restart"' -l user -d 'Your own service, not the machine\'s'
complete -c kolo -n '__kolo_at "kolo service restart"' -l json -d 'One JSON object: how the service is then, as of kolo service status'
complete -c kolo -n '__kolo_at "kolo service restart"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo service start"' -l user -d 'Your own service, not the machine\'s'
complete -c kolo -n '__kolo_at "kolo service start"' -l json -d 'One JSON object: how the service is then, as of kolo service status'
complete -c kolo -n '__kolo_at "kolo service start"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo service status"' -l user -d 'Your own service, not the machine\'s'
complete -c kolo -n '__kolo_at "kolo service status"' -l json -d 'One JSON object: installed, enabled, state, pid, since, restarts, text, result, unit'
complete -c kolo -n '__kolo_at "kolo service status"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo service stop"' -l user -d 'Your own service, not the machine\'s'
complete -c kolo -n '__kolo_at "kolo service stop"' -l json -d 'One JSON object: how the service is then, as of kolo service status'
complete -c kolo -n '__kolo_at "kolo service stop"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo service uninstall"' -l user -d 'Your own service, not the machine\'s'
complete -c kolo -n '__kolo_at "kolo service uninstall"' -l json -d 'One JSON object: how the service is then, as of kolo service status'
complete -c kolo -n '__kolo_at "kolo service uninstall"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo pull"' -l name -x -d 'What it is to be called'
complete -c kolo -n '__kolo_at "kolo pull"' -l copy -d 'Copy a file of this machine into the store'
complete -c kolo -n '__kolo_at "kolo pull"' -l dry-run -d 'Show what would be fetched, and stop there'
complete -c kolo -n '__kolo_at "kolo pull"' -l json -d 'One JSON object, at the end: the model, or the plan of --dry-run'
complete -c kolo -n '__kolo_at "kolo pull"' -l jsonl -d 'JSON lines: the plan, how far it is, and the model'
complete -c kolo -n '__kolo_at "kolo pull"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo pull" 1' -F -a 'hf: ollama: oci: https://'
complete -c kolo -n '__kolo_at "kolo ls"' -s q -l quiet -d 'The names alone'
complete -c kolo -n '__kolo_at "kolo ls"' -l rebuild -d 'First make the store\'s index anew from its folders'
complete -c kolo -n '__kolo_at "kolo ls"' -l json -d 'An array of objects, with sizes in bytes and times in seconds since 1970'
complete -c kolo -n '__kolo_at "kolo ls"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo show"' -l template -d 'The chat template alone'
complete -c kolo -n '__kolo_at "kolo show"' -l metadata -d 'All metadata of the file, a line for each key'
complete -c kolo -n '__kolo_at "kolo show"' -l json -d 'One JSON object'
complete -c kolo -n '__kolo_at "kolo show"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo show" 1' -f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)'
complete -c kolo -n '__kolo_at "kolo rm"' -s y -l yes -d 'Do not ask first'
complete -c kolo -n '__kolo_at "kolo rm"' -l dry-run -d 'Show what would be done, and do nothing'
complete -c kolo -n '__kolo_at "kolo rm"' -l json -d 'An object: removed (name, versions, aliases, freed_bytes), dry_run'
complete -c kolo -n '__kolo_at "kolo rm"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo rm" 1+' -f -a '(__kolo_ask stored)'
complete -c kolo -n '__kolo_at "kolo alias"' -l remove -d 'Take ALIAS away'
complete -c kolo -n '__kolo_at "kolo alias"' -s q -l quiet -d 'Of the list, the aliases alone'
complete -c kolo -n '__kolo_at "kolo alias"' -l json -d 'An object, from each alias to the name of its model'
complete -c kolo -n '__kolo_at "kolo alias"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo alias" 1' -f -a '(__kolo_ask aliases)'
complete -c kolo -n '__kolo_at "kolo alias" 2' -f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)'
complete -c kolo -n '__kolo_at "kolo rollback"' -l to -r -f -a '(__kolo_ask versions)' -d 'Its id, or the beginning of it'
complete -c kolo -n '__kolo_at "kolo rollback"' -l dry-run -d 'Show which version it would be, and stop there'
complete -c kolo -n '__kolo_at "kolo rollback"' -l json -d 'An object: name, version, former (the one that was in use), dry_run'
complete -c kolo -n '__kolo_at "kolo rollback"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo rollback" 1' -f -a '(__kolo_ask stored)'
complete -c kolo -n '__kolo_at "kolo verify"' -l all-versions -d 'Former versions too'
complete -c kolo -n '__kolo_at "kolo verify"' -l json -d 'An array: name, version, file, path, state, detail'
complete -c kolo -n '__kolo_at "kolo verify"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo verify" 1+' -f -a '(__kolo_ask stored)'
complete -c kolo -n '__kolo_at "kolo prune"' -l partials -d 'Partial downloads of any age, not only those a week old'
complete -c kolo -n '__kolo_at "kolo prune"' -l cache -d 'Also what engines had cached when they were unloaded'
complete -c kolo -n '__kolo_at "kolo prune"' -s y -l yes -d 'Do not ask first'
complete -c kolo -n '__kolo_at "kolo prune"' -l dry-run -d 'Show what would be done, and do nothing'
complete -c kolo -n '__kolo_at "kolo prune"' -l json -d 'An object: removed (kind, what, n_bytes, name, version, path), freed_bytes, dry_run'
complete -c kolo -n '__kolo_at "kolo prune"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo bench" 1' -a compare -d 'Set two runs against each other'
complete -c kolo -n '__kolo_at "kolo bench" 1' -a history -d 'List the runs that were kept'
complete -c kolo -n '__kolo_at "kolo bench" 1' -a show -d 'Show a run that was kept'
complete -c kolo -n '__kolo_at "kolo bench"' -s m -l model -r -f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)' -d 'Which model'
complete -c kolo -n '__kolo_at "kolo bench"' -l url -r -f -a '(__kolo_ask urls)' -d 'A server that speaks OpenAI\'s API'
complete -c kolo -n '__kolo_at "kolo bench"' -l local -d 'Start a server for the run although one runs'
complete -c kolo -n '__kolo_at "kolo bench"' -l api-key -x -d 'Key of the servers, or of the one named'
complete -c kolo -n '__kolo_at "kolo bench"' -s c -l concurrency -x -d 'Users at a time, each sending when its last answer has ended'
complete -c kolo -n '__kolo_at "kolo bench"' -l rate -x -d 'Requests per second, whether answered or not'
complete -c kolo -n '__kolo_at "kolo bench"' -l arrival -r -f -a 'poisson constant' -d 'How requests of a --rate arrive'
complete -c kolo -n '__kolo_at "kolo bench"' -l sweep -d 'Double the users until the output grows no more, or a goal fails'
complete -c kolo -n '__kolo_at "kolo bench"' -l goal -x -d 'Such as \'ttft.p95<500ms\': loads are climbed until it fails'
complete -c kolo -n '__kolo_at "kolo bench"' -s w -l workload -r -f -a 'fixed prefix chat interference mixed json' -d 'What is asked'
complete -c kolo -n '__kolo_at "kolo bench"' -l file -r -F -d 'Send the requests in FILE, one JSON body a line, as OpenAI\'s API takes them'
complete -c kolo -n '__kolo_at "kolo bench"' -l schema -r -F -d 'The JSON Schema of the workload json'
complete -c kolo -n '__kolo_at "kolo bench"' -s p -l prompt-tokens -x -d 'Tokens of a prompt'
complete -c kolo -n '__kolo_at "kolo bench"' -l output-tokens -x -d 'Tokens of an answer'
complete -c kolo -n '__kolo_at "kolo bench"' -l prefix-tokens -x -d 'What requests of prefix share'
complete -c kolo -n '__kolo_at "kolo bench"' -l long-tokens -x -d 'The prompt that disturbs in interference'
complete -c kolo -n '__kolo_at "kolo bench"' -l turns -x -d 'Of a conversation in chat'
complete -c kolo -n '__kolo_at "kolo bench"' -l cached -d 'Repeat prompts, so that prefix caches may help'
complete -c kolo -n '__kolo_at "kolo bench"' -l body -x -d 'Fields to put into every request, over its own'
complete -c kolo -n '__kolo_at "kolo bench"' -l api -r -f -a 'auto completions chat' -d 'Which route takes plain prompts'
complete -c kolo -n '__kolo_at "kolo bench"' -s n -l requests -x -d 'Requests of a round (conversations in chat)'
complete -c kolo -n '__kolo_at "kolo bench"' -l duration -x -d 'Begin requests for so long in each round'
complete -c kolo -n '__kolo_at "kolo bench"' -l rounds -x -d 'How often all is done'
complete -c kolo -n '__kolo_at "kolo bench"' -l warmup -x -d 'Requests to each target that are not counted'
complete -c kolo -n '__kolo_at "kolo bench"' -l seed -x -d 'Decides arrivals, lengths and words, but for those that defeat caches'
complete -c kolo -n '__kolo_at "kolo bench"' -l timeout -x -d 'A request that gets nothing for so long has failed'
complete -c kolo -n '__kolo_at "kolo bench"' -l ctx -x -d 'As of kolo serve, for a server of its own'
complete -c kolo -n '__kolo_at "kolo bench"' -l parallel -x -d 'Its slots: answers at a time'
complete -c kolo -n '__kolo_at "kolo bench"' -l threads -x -d 'Its threads while generating'
complete -c kolo -n '__kolo_at "kolo bench"' -l gpu-layers -x -d 'Its layers on GPUs'
complete -c kolo -n '__kolo_at "kolo bench"' -l engine -d 'Measure the engine alone as well, and what the path above it costs'
complete -c kolo -n '__kolo_at "kolo bench"' -l depth -x -d 'Of --engine: answers are also timed in sequences that hold so many tokens'
complete -c kolo -n '__kolo_at "kolo bench"' -l shape -r -f -a 'llama-3.2-1b llama-3.2-3b llama-3.1-8b llama-3.1-70b llama-3.3-70b llama-3.1-405b deepseek-r1-distill-llama-8b deepseek-r1-distill-llama-70b qwen2.5-0.5b qwen2.5-1.5b qwen2.5-3b qwen2.5-7b qwen2.5-14b qwen2.5-32b qwen2.5-72b deepseek-r1-distill-qwen-1.5b deepseek-r1-distill-qwen-7b deepseek-r1-distill-qwen-14b deepseek-r1-distill-qwen-32b qwen3-0.6b qwen3-1.7b qwen3-4b qwen3-8b qwen3-14b qwen3-32b qwen3-30b-a3b qwen3-235b-a22b gemma-2-2b gemma-2-9b gemma-2-27b gemma-3-270m gemma-3-1b gemma-3-4b gemma-3-12b gemma-3-27b phi-3-mini phi-3.5-mini phi-3-medium phi-4 phi-4-mini mistral-7b mistral-nemo-12b mistral-small-24b ministral-8b mixtral-8x7b mixtral-8x22b smollm2-135m smollm2-360m smollm2-1.7b smollm3-3b gpt-oss-20b gpt-oss-120b granite-3.3-2b granite-3.3-8b tinyllama-1.1b stories-15m' -d 'What this machine would do with a model before you download it, from one of the same shape with random weights: qwen2.5-7b:q4_k_m, or dimensions such as arch=llama,layers=16,…'
complete -c kolo -n '__kolo_at "kolo bench"' -l keep -d 'The model of --shape stays in the cache folder'
complete -c kolo -n '__kolo_at "kolo bench"' -s o -l output -r -f -a 'table json jsonl csv md html' -d 'How the result is written'
complete -c kolo -n '__kolo_at "kolo bench"' -l json -d 'The same as -o json'
complete -c kolo -n '__kolo_at "kolo bench"' -l save -x -d 'Keep the run under a name'
complete -c kolo -n '__kolo_at "kolo bench"' -l overwrite -d '--save over a run of that name'
complete -c kolo -n '__kolo_at "kolo bench"' -l quiet -d 'No progress on a terminal'
complete -c kolo -n '__kolo_at "kolo bench"' -l formulas -d 'Say how each number is computed, and leave'
complete -c kolo -n '__kolo_at "kolo bench"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo bench compare"' -l fail-if -x -d 'METRIC.STAT, < or >, and a change in percent from A to B or a value of B: exit code 8 if it is so anywhere'
complete -c kolo -n '__kolo_at "kolo bench compare"' -l json -d 'One JSON object, with both runs\' figures'
complete -c kolo -n '__kolo_at "kolo bench compare"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo bench compare" 1' -f -a '(__kolo_ask runs)'
complete -c kolo -n '__kolo_at "kolo bench compare" 2' -f -a '(__kolo_ask runs)'
complete -c kolo -n '__kolo_at "kolo bench history"' -s n -l last -x -d 'Only the last N rows'
complete -c kolo -n '__kolo_at "kolo bench history"' -s q -l quiet -d 'The names alone, of runs that have one'
complete -c kolo -n '__kolo_at "kolo bench history"' -l json -d 'An array of objects'
complete -c kolo -n '__kolo_at "kolo bench history"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo bench history" 1' -f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)'
complete -c kolo -n '__kolo_at "kolo bench show"' -s o -l output -r -f -a 'table json jsonl csv md html' -d 'How the run is written'
complete -c kolo -n '__kolo_at "kolo bench show"' -l json -d 'The same as -o json'
complete -c kolo -n '__kolo_at "kolo bench show"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo bench show" 1' -f -a '(__kolo_ask runs)'
complete -c kolo -n '__kolo_at "kolo doctor"' -l no-generate -d 'Do not load a model to have it say a word'
complete -c kolo -n '__kolo_at "kolo doctor"' -s q -l quiet -d 'Only what is not right'
complete -c kolo -n '__kolo_at "kolo doctor"' -l json -d 'One JSON object: healthy, kolo, findings'
complete -c kolo -n '__kolo_at "kolo doctor"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config" 1' -a show -d 'Show the settings that hold'
complete -c kolo -n '__kolo_at "kolo config" 1' -a get -d 'Print the value of one setting'
complete -c kolo -n '__kolo_at "kolo config" 1' -a set -d 'Set settings in the file'
complete -c kolo -n '__kolo_at "kolo config" 1' -a unset -d 'Take settings out of the file'
complete -c kolo -n '__kolo_at "kolo config" 1' -a edit -d 'Open the settings file in an editor'
complete -c kolo -n '__kolo_at "kolo config" 1' -a init -d 'Write a settings file with every key explained'
complete -c kolo -n '__kolo_at "kolo config" 1' -a validate -d 'Check the settings, every profile too'
complete -c kolo -n '__kolo_at "kolo config" 1' -a path -d 'Print which file is read'
complete -c kolo -n '__kolo_at "kolo config" 1' -a schema -d 'Print the JSON Schema of the settings file'
complete -c kolo -n '__kolo_at "kolo config"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config show"' -l origin -d 'Say of each where it came from'
complete -c kolo -n '__kolo_at "kolo config show"' -l changed -d 'Only those that are not at their default'
complete -c kolo -n '__kolo_at "kolo config show"' -l reveal -d 'Show what is secret too'
complete -c kolo -n '__kolo_at "kolo config show"' -l json -d 'An array of objects: key, value, source and what else is known of its origin'
complete -c kolo -n '__kolo_at "kolo config show"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config show" 1+' -f -a '(__kolo_ask sections)'
complete -c kolo -n '__kolo_at "kolo config get"' -l json -d 'The value alone, as JSON'
complete -c kolo -n '__kolo_at "kolo config get"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config get" 1' -f -a '(__kolo_ask keys)'
complete -c kolo -n '__kolo_at "kolo config set"' -l json -d 'An object: key, value, former, file, line, overridden_by, server'
complete -c kolo -n '__kolo_at "kolo config set"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config set" 1' -f -a '(__kolo_ask keys)'
complete -c kolo -n '__kolo_at "kolo config set" 2' -f -a '(__kolo_ask values)'
complete -c kolo -n '__kolo_at "kolo config unset"' -l json -d 'An object, as of kolo config set, value is null'
complete -c kolo -n '__kolo_at "kolo config unset"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config unset" 1' -f -a '(__kolo_ask removable)'
complete -c kolo -n '__kolo_at "kolo config unset" 2+' -f -a '(__kolo_ask removable)'
complete -c kolo -n '__kolo_at "kolo config edit"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config init"' -l force -d 'Although there is one, which is kept beside it'
complete -c kolo -n '__kolo_at "kolo config init"' -l json -d 'An object: file, schema, kept'
complete -c kolo -n '__kolo_at "kolo config init"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config validate"' -l json -d 'An array of objects: place, file, line, key, what, hint'
complete -c kolo -n '__kolo_at "kolo config validate"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config validate" 1' -F
complete -c kolo -n '__kolo_at "kolo config path"' -l json -d 'An object: file, exists, and whether KOLO_CONFIG names it'
complete -c kolo -n '__kolo_at "kolo config path"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo config schema"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo completion" 1' -a bash -d 'Print the script for bash'
complete -c kolo -n '__kolo_at "kolo completion" 1' -a fish -d 'Print the script for fish'
complete -c kolo -n '__kolo_at "kolo completion" 1' -a install -d 'Put the script where your shell looks'
complete -c kolo -n '__kolo_at "kolo completion" 1' -a uninstall -d 'Take it away again'
complete -c kolo -n '__kolo_at "kolo completion" 1' -a zsh -d 'Print the script for zsh'
complete -c kolo -n '__kolo_at "kolo completion"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo completion bash"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo completion fish"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo completion install"' -l no-rc -d 'Change no start-up file of the shell'
complete -c kolo -n '__kolo_at "kolo completion install"' -l dry-run -d 'Show what would be done, and do nothing'
complete -c kolo -n '__kolo_at "kolo completion install"' -l json -d 'An object: shell, file, rc, changed (the files), dry_run, next'
complete -c kolo -n '__kolo_at "kolo completion install"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo completion install" 1' -f -a 'bash zsh fish'
complete -c kolo -n '__kolo_at "kolo completion uninstall"' -l dry-run -d 'Show what would be done, and do nothing'
complete -c kolo -n '__kolo_at "kolo completion uninstall"' -l json -d 'An object, as of kolo completion install'
complete -c kolo -n '__kolo_at "kolo completion uninstall"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo completion uninstall" 1' -f -a 'bash zsh fish'
complete -c kolo -n '__kolo_at "kolo completion zsh"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo path"' -l json -d 'An object, from name to path'
complete -c kolo -n '__kolo_at "kolo path"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo path" 1' -f -a 'config data state cache runtime prefixes monitor'
complete -c kolo -n '__kolo_at "kolo help"' -l json -d 'One JSON object'
complete -c kolo -n '__kolo_at "kolo help"' -s h -l help -d 'Show this message and exit'
complete -c kolo -n '__kolo_at "kolo help" 1+' -f -a 'exit-codes env json names output chat complete embed serve ps top load unload logs reload keys audit service pull ls show rm alias rollback verify prune bench doctor config completion path help'
