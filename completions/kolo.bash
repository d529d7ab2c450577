# Completion of kolo for bash. Made by "kolo completion bash"; not to be edited.

# The commands right below one.
__kolo_commands() {
    case "$1" in
        'kolo') __kolo_names='chat complete embed serve ps top load unload logs reload keys audit service pull ls show rm alias rollback verify prune bench doctor config completion path help' ;;
        'kolo keys') __kolo_names='create ls revoke' ;;
        'kolo audit') __kolo_names='verify' ;;
        'kolo service') __kolo_names='install reload restart start status stop uninstall' ;;
        'kolo bench') __kolo_names='compare history show' ;;
        'kolo config') __kolo_names='show get set unset edit init validate path schema' ;;
        'kolo completion') __kolo_names='bash fish install uninstall zsh' ;;
        *) __kolo_names='' ;;
    esac
}

# The options of a command.
__kolo_options() {
    case "$1" in
        'kolo') __kolo_names='--color --profile --version --spec --help' ;;
        'kolo chat') __kolo_names='--model --system --resume --last --list --no-history --plain --quiet --json --max-tokens --temp --temperature --top-p --top-k --min-p --seed --local --url --help' ;;
        'kolo complete') __kolo_names='--model --max-tokens --system --file --template --var --vars --json --schema --grammar --choices --stop --temp --temperature --top-p --top-k --min-p --seed --n --logprobs --raw --jsonl --out --retry-failed --concurrency --timeout --retries --allow-cut --local --url --help' ;;
        'kolo embed') __kolo_names='--model --file --lines --dimensions --output --json --jsonl --out --retry-failed --concurrency --timeout --retries --local --url --help' ;;
        'kolo serve') __kolo_names='--models-dir --json --default-model --ctx --parallel --batch --ubatch --threads --threads-batch --gpu-layers --main-gpu --split-mode --tensor-split --devices --kv-type-k --kv-type-v --kv-unified --no-kv-unified --kv-offload --no-kv-offload --flash-attn --rope-scaling --rope-freq-base --rope-freq-scale --yarn-ext-factor --yarn-attn-factor --yarn-beta-fast --yarn-beta-slow --yarn-orig-ctx --lora --mmap --no-mmap --mlock --no-mlock --check-tensors --no-check-tensors --warmup --no-warmup --pooling --chat-template --cache-store-bytes --prefill-budget-ms --speculation --draft-model --sampling-temperature --sampling-dynatemp-range --sampling-dynatemp-exponent --sampling-top-k --sampling-top-p --sampling-min-p --sampling-typical-p --sampling-top-n-sigma --sampling-xtc-probability --sampling-xtc-threshold --sampling-dry-multiplier --sampling-dry-base --sampling-dry-allowed-length --sampling-dry-penalty-last-n --sampling-dry-sequence-breakers --sampling-repeat-penalty --sampling-repeat-last-n --sampling-presence-penalty --sampling-frequency-penalty --sampling-mirostat --sampling-mirostat-tau --sampling-mirostat-eta --sampling-min-keep --sampling-samplers --sampling-seed --sampling-logit-bias --sampling-ignore-eos --no-sampling-ignore-eos --stop --system --manager-memory-budget --manager-max-engines --manager-idle-unload --manager-load-timeout --manager-hang-timeout --manager-max-queue --manager-restart-backoff --manager-restart-backoff-max --host --port --request-timeout --max-body --body-timeout --heartbeat --stop-timeout --header-timeout --send-timeout --idle-timeout --max-header --max-connections --socket --socket-mode --tls-cert --tls-key --require-key --allow-unauthenticated --no-allow-unauthenticated --allowed-hosts --requests-per-minute --tokens-per-minute --cors-origins --cors-methods --cors-headers --cors-credentials --no-cors-credentials --cors-max-age --store-dir --store-folders --store-hub-cache --store-ollama-registry --downloads-quant --downloads-allow-private --no-downloads-allow-private --downloads-stall-timeout --downloads-insecure-registries --cache-save --no-cache-save --cache-max-size --monitor-socket --history-enabled --no-history-enabled --history-max-size --history-keep-minutes --history-keep-ten-minutes --otel-enabled --no-otel-enabled --otel-endpoint --log-level --log-format --log-file --log-access --no-log-access --help' ;;
        'kolo ps') __kolo_names='--quiet --url --json --help' ;;
        'kolo top') __kolo_names='--once --json --jsonl --count --interval --record --replay --speed --demo --seed --remote --socket --url --readonly --theme --ascii --help' ;;
        'kolo load') __kolo_names='--id --ctx --parallel --gpu-layers --pin --ttl --wait --no-wait --dry-run --url --json --help' ;;
        'kolo unload') __kolo_names='--force --forget --url --json --help' ;;
        'kolo logs') __kolo_names='--follow --lines --url --json --jsonl --help' ;;
        'kolo reload') __kolo_names='--url --json --help' ;;
        'kolo keys') __kolo_names='--help' ;;
        'kolo keys create') __kolo_names='--scope --expires --requests-per-minute --tokens-per-minute --json --help' ;;
        'kolo keys ls') __kolo_names='--quiet --json --help' ;;
        'kolo keys revoke') __kolo_names='--json --help' ;;
        'kolo audit') __kolo_names='--last --json --help' ;;
        'kolo audit verify') __kolo_names='--head --json --help' ;;
        'kolo service') __kolo_names='--help' ;;
        'kolo service install') __kolo_names='--user --as --now --dry-run --json --help' ;;
        'kolo service reload') __kolo_names='--user --json --help' ;;
        'kolo service restart') __kolo_names='--user --json --help' ;;
        'kolo service start') __kolo_names='--user --json --help' ;;
        'kolo service status') __kolo_names='--user --json --help' ;;
        'kolo service stop') __kolo_names='--user --json --help' ;;
        'kolo service uninstall') __kolo_names='--user --json --help' ;;
        'kolo pull') __kolo_names='--name --copy --dry-run --json --jsonl --help' ;;
        'kolo ls') __kolo_names='--quiet --rebuild --json --help' ;;
        'kolo show') __kolo_names='--template --metadata --json --help' ;;
        'kolo rm') __kolo_names='--yes --dry-run --json --help' ;;
        'kolo alias') __kolo_names='--remove --quiet --json --help' ;;
        'kolo rollback') __kolo_names='--to --dry-run --json --help' ;;
        'kolo verify') __kolo_names='--all-versions --json --help' ;;
        'kolo prune') __kolo_names='--partials --cache --yes --dry-run --json --help' ;;
        'kolo bench') __kolo_names='--model --url --local --api-key --concurrency --rate --arrival --sweep --goal --workload --file --schema --prompt-tokens --output-tokens --prefix-tokens --long-tokens --turns --cached --body --api --requests --duration --rounds --warmup --seed --timeout --ctx --parallel --threads --gpu-layers --engine --depth --shape --keep --output --json --save --overwrite --quiet --formulas --help' ;;
        'kolo bench compare') __kolo_names='--fail-if --json --help' ;;
        'kolo bench history') __kolo_names='--last --quiet --json --help' ;;
        'kolo bench show') __kolo_names='--output --json --help' ;;
        'kolo doctor') __kolo_names='--no-generate --quiet --json --help' ;;
        'kolo config') __kolo_names='--help' ;;
        'kolo config show') __kolo_names='--origin --changed --reveal --json --help' ;;
        'kolo config get') __kolo_names='--json --help' ;;
        'kolo config set') __kolo_names='--json --help' ;;
        'kolo config unset') __kolo_names='--json --help' ;;
        'kolo config edit') __kolo_names='--help' ;;
        'kolo config init') __kolo_names='--force --json --help' ;;
        'kolo config validate') __kolo_names='--json --help' ;;
        'kolo config path') __kolo_names='--json --help' ;;
        'kolo config schema') __kolo_names='--help' ;;
        'kolo completion') __kolo_names='--help' ;;
        'kolo completion bash') __kolo_names='--help' ;;
        'kolo completion fish') __kolo_names='--help' ;;
        'kolo completion install') __kolo_names='--no-rc --dry-run --json --help' ;;
        'kolo completion uninstall') __kolo_names='--dry-run --json --help' ;;
        'kolo completion zsh') __kolo_names='--help' ;;
        'kolo path') __kolo_names='--json --help' ;;
        'kolo help') __kolo_names='--json --help' ;;
        *) __kolo_names='' ;;
    esac
}

# What an option of a command takes; nothing for a flag.
__kolo_option() {
    case "$1 $2" in
        'kolo --color') __kolo_kind='=auto always never' ;;
        'kolo --profile') __kolo_kind='profiles' ;;
        'kolo chat -m' | 'kolo chat --model') __kolo_kind='models' ;;
        'kolo chat --system') __kolo_kind='free' ;;
        'kolo chat --resume') __kolo_kind='sessions' ;;
        'kolo chat -n' | 'kolo chat --max-tokens') __kolo_kind='free' ;;
        'kolo chat --temp' | 'kolo chat --temperature') __kolo_kind='free' ;;
        'kolo chat --top-p') __kolo_kind='free' ;;
        'kolo chat --top-k') __kolo_kind='free' ;;
        'kolo chat --min-p') __kolo_kind='free' ;;
        'kolo chat --seed') __kolo_kind='free' ;;
        'kolo chat --url') __kolo_kind='urls' ;;
        'kolo complete -m' | 'kolo complete --model') __kolo_kind='models' ;;
        'kolo complete -n' | 'kolo complete --max-tokens') __kolo_kind='free' ;;
        'kolo complete --system') __kolo_kind='free' ;;
        'kolo complete --file') __kolo_kind='files' ;;
        'kolo complete --template') __kolo_kind='files' ;;
        'kolo complete --var') __kolo_kind='free' ;;
        'kolo complete --vars') __kolo_kind='files' ;;
        'kolo complete --schema') __kolo_kind='files' ;;
        'kolo complete --grammar') __kolo_kind='files' ;;
        'kolo complete --choices') __kolo_kind='free' ;;
        'kolo complete --stop') __kolo_kind='free' ;;
        'kolo complete --temp' | 'kolo complete --temperature') __kolo_kind='free' ;;
        'kolo complete --top-p') __kolo_kind='free' ;;
        'kolo complete --top-k') __kolo_kind='free' ;;
        'kolo complete --min-p') __kolo_kind='free' ;;
        'kolo complete --seed') __kolo_kind='free' ;;
        'kolo complete --n') __kolo_kind='free' ;;
        'kolo complete --logprobs') __kolo_kind='free' ;;
        'kolo complete --jsonl') __kolo_kind='files' ;;
        'kolo complete --out') __kolo_kind='files' ;;
        'kolo complete --concurrency') __kolo_kind='free' ;;
        'kolo complete --timeout') __kolo_kind='free' ;;
        'kolo complete --retries') __kolo_kind='free' ;;
        'kolo complete --url') __kolo_kind='urls' ;;
        'kolo embed -m' | 'kolo embed --model') __kolo_kind='models' ;;
        'kolo embed --file') __kolo_kind='files' ;;
        'kolo embed --dimensions') __kolo_kind='free' ;;
        'kolo embed -o' | 'kolo embed --output') __kolo_kind='=jsonl json csv npy' ;;
        'kolo embed --jsonl') __kolo_kind='files' ;;
        'kolo embed --out') __kolo_kind='files' ;;
        'kolo embed --concurrency') __kolo_kind='free' ;;
        'kolo embed --timeout') __kolo_kind='free' ;;
        'kolo embed --retries') __kolo_kind='free' ;;
        'kolo embed --url') __kolo_kind='urls' ;;
        'kolo serve --models-dir') __kolo_kind='files' ;;
        'kolo serve --default-model') __kolo_kind='free' ;;
        'kolo serve --ctx') __kolo_kind='free' ;;
        'kolo serve --parallel') __kolo_kind='free' ;;
        'kolo serve --batch') __kolo_kind='free' ;;
        'kolo serve --ubatch') __kolo_kind='free' ;;
        'kolo serve --threads') __kolo_kind='free' ;;
        'kolo serve --threads-batch') __kolo_kind='free' ;;
        'kolo serve --gpu-layers') __kolo_kind='free' ;;
        'kolo serve --main-gpu') __kolo_kind='free' ;;
        'kolo serve --split-mode') __kolo_kind='free' ;;
        'kolo serve --tensor-split') __kolo_kind='free' ;;
        'kolo serve --devices') __kolo_kind='free' ;;
        'kolo serve --kv-type-k') __kolo_kind='free' ;;
        'kolo serve --kv-type-v') __kolo_kind='free' ;;
        'kolo serve --flash-attn') __kolo_kind='free' ;;
        'kolo serve --rope-scaling') __kolo_kind='free' ;;
        'kolo serve --rope-freq-base') __kolo_kind='free' ;;
        'kolo serve --rope-freq-scale') __kolo_kind='free' ;;
        'kolo serve --yarn-ext-factor') __kolo_kind='free' ;;
        'kolo serve --yarn-attn-factor') __kolo_kind='free' ;;
        'kolo serve --yarn-beta-fast') __kolo_kind='free' ;;
        'kolo serve --yarn-beta-slow') __kolo_kind='free' ;;
        'kolo serve --yarn-orig-ctx') __kolo_kind='free' ;;
        'kolo serve --lora') __kolo_kind='free' ;;
        'kolo serve --pooling') __kolo_kind='free' ;;
        'kolo serve --chat-template') __kolo_kind='free' ;;
        'kolo serve --cache-store-bytes') __kolo_kind='free' ;;
        'kolo serve --prefill-budget-ms') __kolo_kind='free' ;;
        'kolo serve --speculation') __kolo_kind='free' ;;
        'kolo serve --draft-model') __kolo_kind='free' ;;
        'kolo serve --sampling-temperature') __kolo_kind='free' ;;
        'kolo serve --sampling-dynatemp-range') __kolo_kind='free' ;;
        'kolo serve --sampling-dynatemp-exponent') __kolo_kind='free' ;;
        'kolo serve --sampling-top-k') __kolo_kind='free' ;;
        'kolo serve --sampling-top-p') __kolo_kind='free' ;;
        'kolo serve --sampling-min-p') __kolo_kind='free' ;;
        'kolo serve --sampling-typical-p') __kolo_kind='free' ;;
        'kolo serve --sampling-top-n-sigma') __kolo_kind='free' ;;
        'kolo serve --sampling-xtc-probability') __kolo_kind='free' ;;
        'kolo serve --sampling-xtc-threshold') __kolo_kind='free' ;;
        'kolo serve --sampling-dry-multiplier') __kolo_kind='free' ;;
        'kolo serve --sampling-dry-base') __kolo_kind='free' ;;
        'kolo serve --sampling-dry-allowed-length') __kolo_kind='free' ;;
        'kolo serve --sampling-dry-penalty-last-n') __kolo_kind='free' ;;
        'kolo serve --sampling-dry-sequence-breakers') __kolo_kind='free' ;;
        'kolo serve --sampling-repeat-penalty') __kolo_kind='free' ;;
        'kolo serve --sampling-repeat-last-n') __kolo_kind='free' ;;
        'kolo serve --sampling-presence-penalty') __kolo_kind='free' ;;
        'kolo serve --sampling-frequency-penalty') __kolo_kind='free' ;;
        'kolo serve --sampling-mirostat') __kolo_kind='free' ;;
        'kolo serve --sampling-mirostat-tau') __kolo_kind='free' ;;
        'kolo serve --sampling-mirostat-eta') __kolo_kind='free' ;;
        'kolo serve --sampling-min-keep') __kolo_kind='free' ;;
        'kolo serve --sampling-samplers') __kolo_kind='free' ;;
        'kolo serve --sampling-seed') __kolo_kind='free' ;;
        'kolo serve --sampling-logit-bias') __kolo_kind='free' ;;
        'kolo serve --stop') __kolo_kind='free' ;;
        'kolo serve --system') __kolo_kind='free' ;;
        'kolo serve --manager-memory-budget') __kolo_kind='free' ;;
        'kolo serve --manager-max-engines') __kolo_kind='free' ;;
        'kolo serve --manager-idle-unload') __kolo_kind='free' ;;
        'kolo serve --manager-load-timeout') __kolo_kind='free' ;;
        'kolo serve --manager-hang-timeout') __kolo_kind='free' ;;
        'kolo serve --manager-max-queue') __kolo_kind='free' ;;
        'kolo serve --manager-restart-backoff') __kolo_kind='free' ;;
        'kolo serve --manager-restart-backoff-max') __kolo_kind='free' ;;
        'kolo serve --host') __kolo_kind='free' ;;
        'kolo serve --port') __kolo_kind='free' ;;
        'kolo serve --request-timeout') __kolo_kind='free' ;;
        'kolo serve --max-body') __kolo_kind='free' ;;
        'kolo serve --body-timeout') __kolo_kind='free' ;;
        'kolo serve --heartbeat') __kolo_kind='free' ;;
        'kolo serve --stop-timeout') __kolo_kind='free' ;;
        'kolo serve --header-timeout') __kolo_kind='free' ;;
        'kolo serve --send-timeout') __kolo_kind='free' ;;
        'kolo serve --idle-timeout') __kolo_kind='free' ;;
        'kolo serve --max-header') __kolo_kind='free' ;;
        'kolo serve --max-connections') __kolo_kind='free' ;;
        'kolo serve --socket') __kolo_kind='free' ;;
        'kolo serve --socket-mode') __kolo_kind='free' ;;
        'kolo serve --tls-cert') __kolo_kind='free' ;;
        'kolo serve --tls-key') __kolo_kind='free' ;;
        'kolo serve --require-key') __kolo_kind='free' ;;
        'kolo serve --allowed-hosts') __kolo_kind='free' ;;
        'kolo serve --requests-per-minute') __kolo_kind='free' ;;
        'kolo serve --tokens-per-minute') __kolo_kind='free' ;;
        'kolo serve --cors-origins') __kolo_kind='free' ;;
        'kolo serve --cors-methods') __kolo_kind='free' ;;
        'kolo serve --cors-headers') __kolo_kind='free' ;;
        'kolo serve --cors-max-age') __kolo_kind='free' ;;
        'kolo serve --store-dir') __kolo_kind='free' ;;
        'kolo serve --store-folders') __kolo_kind='free' ;;
        'kolo serve --store-hub-cache') __kolo_kind='free' ;;
        'kolo serve --store-ollama-registry') __kolo_kind='free' ;;
        'kolo serve --downloads-quant') __kolo_kind='free' ;;
        'kolo serve --downloads-stall-timeout') __kolo_kind='free' ;;
        'kolo serve --downloads-insecure-registries') __kolo_kind='free' ;;
        'kolo serve --cache-max-size') __kolo_kind='free' ;;
        'kolo serve --monitor-socket') __kolo_kind='free' ;;
        'kolo serve --history-max-size') __kolo_kind='free' ;;
        'kolo serve --history-keep-minutes') __kolo_kind='free' ;;
        'kolo serve --history-keep-ten-minutes') __kolo_kind='free' ;;
        'kolo serve --otel-endpoint') __kolo_kind='free' ;;
        'kolo serve --log-level') __kolo_kind='free' ;;
        'kolo serve --log-format') __kolo_kind='free' ;;
        'kolo serve --log-file') __kolo_kind='free' ;;
        'kolo ps --url') __kolo_kind='urls' ;;
        'kolo top -n' | 'kolo top --count') __kolo_kind='free' ;;
        'kolo top --interval') __kolo_kind='free' ;;
        'kolo top --record') __kolo_kind='files' ;;
        'kolo top --replay') __kolo_kind='files' ;;
        'kolo top --speed') __kolo_kind='free' ;;
        'kolo top --seed') __kolo_kind='free' ;;
        'kolo top --remote') __kolo_kind='hosts' ;;
        'kolo top --socket') __kolo_kind='files' ;;
        'kolo top --url') __kolo_kind='urls' ;;
        'kolo top --theme') __kolo_kind='free' ;;
        'kolo load --id') __kolo_kind='free' ;;
        'kolo load --ctx') __kolo_kind='free' ;;
        'kolo load --parallel') __kolo_kind='free' ;;
        'kolo load --gpu-layers') __kolo_kind='free' ;;
        'kolo load --ttl') __kolo_kind='free' ;;
        'kolo load --url') __kolo_kind='urls' ;;
        'kolo unload --url') __kolo_kind='urls' ;;
        'kolo logs -n' | 'kolo logs --lines') __kolo_kind='free' ;;
        'kolo logs --url') __kolo_kind='urls' ;;
        'kolo reload --url') __kolo_kind='urls' ;;
        'kolo keys create --scope') __kolo_kind='=infer read manage' ;;
        'kolo keys create --expires') __kolo_kind='free' ;;
        'kolo keys create --requests-per-minute') __kolo_kind='free' ;;
        'kolo keys create --tokens-per-minute') __kolo_kind='free' ;;
        'kolo audit -n' | 'kolo audit --last') __kolo_kind='free' ;;
        'kolo audit verify --head') __kolo_kind='free' ;;
        'kolo service install --as') __kolo_kind='users' ;;
        'kolo pull --name') __kolo_kind='free' ;;
        'kolo rollback --to') __kolo_kind='versions' ;;
        'kolo bench -m' | 'kolo bench --model') __kolo_kind='models' ;;
        'kolo bench --url') __kolo_kind='urls' ;;
        'kolo bench --api-key') __kolo_kind='free' ;;
        'kolo bench -c' | 'kolo bench --concurrency') __kolo_kind='free' ;;
        'kolo bench --rate') __kolo_kind='free' ;;
        'kolo bench --arrival') __kolo_kind='=poisson constant' ;;
        'kolo bench --goal') __kolo_kind='free' ;;
        'kolo bench -w' | 'kolo bench --workload') __kolo_kind='=fixed prefix chat interference mixed json' ;;
        'kolo bench --file') __kolo_kind='files' ;;
        'kolo bench --schema') __kolo_kind='files' ;;
        'kolo bench -p' | 'kolo bench --prompt-tokens') __kolo_kind='free' ;;
        'kolo bench --output-tokens') __kolo_kind='free' ;;
        'kolo bench --prefix-tokens') __kolo_kind='free' ;;
        'kolo bench --long-tokens') __kolo_kind='free' ;;
        'kolo bench --turns') __kolo_kind='free' ;;
        'kolo bench --body') __kolo_kind='free' ;;
        'kolo bench --api') __kolo_kind='=auto completions chat' ;;
        'kolo bench -n' | 'kolo bench --requests') __kolo_kind='free' ;;
        'kolo bench --duration') __kolo_kind='free' ;;
        'kolo bench --rounds') __kolo_kind='free' ;;
        'kolo bench --warmup') __kolo_kind='free' ;;
        'kolo bench --seed') __kolo_kind='free' ;;
        'kolo bench --timeout') __kolo_kind='free' ;;
        'kolo bench --ctx') __kolo_kind='free' ;;
        'kolo bench --parallel') __kolo_kind='free' ;;
        'kolo bench --threads') __kolo_kind='free' ;;
        'kolo bench --gpu-layers') __kolo_kind='free' ;;
        'kolo bench --depth') __kolo_kind='free' ;;
        'kolo bench --shape') __kolo_kind='=llama-3.2-1b llama-3.2-3b llama-3.1-8b llama-3.1-70b llama-3.3-70b llama-3.1-405b deepseek-r1-distill-llama-8b deepseek-r1-distill-llama-70b qwen2.5-0.5b qwen2.5-1.5b qwen2.5-3b qwen2.5-7b qwen2.5-14b qwen2.5-32b qwen2.5-72b deepseek-r1-distill-qwen-1.5b deepseek-r1-distill-qwen-7b deepseek-r1-distill-qwen-14b deepseek-r1-distill-qwen-32b qwen3-0.6b qwen3-1.7b qwen3-4b qwen3-8b qwen3-14b qwen3-32b qwen3-30b-a3b qwen3-235b-a22b gemma-2-2b gemma-2-9b gemma-2-27b gemma-3-270m gemma-3-1b gemma-3-4b gemma-3-12b gemma-3-27b phi-3-mini phi-3.5-mini phi-3-medium phi-4 phi-4-mini mistral-7b mistral-nemo-12b mistral-small-24b ministral-8b mixtral-8x7b mixtral-8x22b smollm2-135m smollm2-360m smollm2-1.7b smollm3-3b gpt-oss-20b gpt-oss-120b granite-3.3-2b granite-3.3-8b tinyllama-1.1b stories-15m' ;;
        'kolo bench -o' | 'kolo bench --output') __kolo_kind='=table json jsonl csv md html' ;;
        'kolo bench --save') __kolo_kind='free' ;;
        'kolo bench compare --fail-if') __kolo_kind='free' ;;
        'kolo bench history -n' | 'kolo bench history --last') __kolo_kind='free' ;;
        'kolo bench show -o' | 'kolo bench show --output') __kolo_kind='=table json jsonl csv md html' ;;
        *) __kolo_kind='' ;;
    esac
}

# What an argument of a command is, by its number.
__kolo_argument() {
    case "$1 $2" in
        'kolo serve '*) __kolo_kind='models' ;;
        'kolo load 1') __kolo_kind='models' ;;
        'kolo unload 1') __kolo_kind='engines' ;;
        'kolo logs 1') __kolo_kind='every-engine' ;;
        'kolo keys revoke '*) __kolo_kind='api-keys' ;;
        'kolo pull 1') __kolo_kind='references' ;;
        'kolo show 1') __kolo_kind='models' ;;
        'kolo rm '*) __kolo_kind='stored' ;;
        'kolo alias 1') __kolo_kind='aliases' ;;
        'kolo alias 2') __kolo_kind='models' ;;
        'kolo rollback 1') __kolo_kind='stored' ;;
        'kolo verify '*) __kolo_kind='stored' ;;
        'kolo bench compare 1') __kolo_kind='runs' ;;
        'kolo bench compare 2') __kolo_kind='runs' ;;
        'kolo bench history 1') __kolo_kind='models' ;;
        'kolo bench show 1') __kolo_kind='runs' ;;
        'kolo config show '*) __kolo_kind='sections' ;;
        'kolo config get 1') __kolo_kind='keys' ;;
        'kolo config set 1') __kolo_kind='keys' ;;
        'kolo config set 2') __kolo_kind='values' ;;
        'kolo config unset 1') __kolo_kind='removable' ;;
        'kolo config unset '*) __kolo_kind='removable' ;;
        'kolo config validate 1') __kolo_kind='files' ;;
        'kolo completion install 1') __kolo_kind='=bash zsh fish' ;;
        'kolo completion uninstall 1') __kolo_kind='=bash zsh fish' ;;
        'kolo path 1') __kolo_kind='=config data state cache runtime prefixes monitor' ;;
        'kolo help '*) __kolo_kind='=exit-codes env json names output chat complete embed serve ps top load unload logs reload keys audit service pull ls show rm alias rollback verify prune bench doctor config completion path help' ;;
        *) __kolo_kind='' ;;
    esac
}

# The words up to the cursor. bash breaks them at : and = too; what has no blank between it in the
# line belongs together.
__kolo_split() {
    local rest=${COMP_LINE:0:COMP_POINT} part i
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        part=${COMP_WORDS[i]}
        if ((i == 0)) || [[ $rest == [[:blank:]]* ]]; then
            rest=${rest#"${rest%%[![:blank:]]*}"}
            words+=("")
        fi
        ((i == COMP_CWORD)) && part=$rest
        words[${#words[@]} - 1]+=$part
        rest=${rest#"$part"}
    done
    current=${words[${#words[@]} - 1]}
}

__kolo_ask() {
    local program=${COMP_WORDS[0]/#\~/$HOME}
    type -P -- "$program" >/dev/null || program=kolo
    "$program" __complete "$@" 2>/dev/null </dev/null
}

# Takes a candidate if it begins with what was typed. Names may have signs that mean something to
# the shell.
__kolo_take() {
    [[ $1 == "$typed"* ]] || return
    if [[ -z $quote ]]; then
        printf -v REPLY '%q' "$1"
        REPLY=${REPLY//\\\~/\~}
    else
        REPLY=$1
    fi
    COMPREPLY+=("$before$REPLY")
}

__kolo_files() {
    local file
    compopt -o filenames 2>/dev/null
    while IFS= read -r file; do
        COMPREPLY+=("$before$file")
    done < <(compgen "$1" -- "$typed")
}

# Offers what a kind of value has to offer.
__kolo_offer() {
    local kind=$1 value
    case $kind in
        '' | free) ;;
        =*) for value in ${kind#=}; do __kolo_take "$value"; done ;;
        files) __kolo_files -f ;;
        folders) __kolo_files -d ;;
        hosts) while IFS= read -r value; do __kolo_take "$value"; done < <(compgen -A hostname) ;;
        users) while IFS= read -r value; do __kolo_take "$value"; done < <(compgen -u) ;;
        references)
            for value in hf: ollama: oci: https://; do __kolo_take "$value"; done
            __kolo_files -f
            ;;
        *)
            if [[ $kind != models || $typed != [./~]* ]]; then
                while IFS=$'\t' read -r value _; do
                    __kolo_take "$value"
                done < <(__kolo_ask "$kind" "${arguments[0]}")
            fi
            [[ $kind == models && ${#COMPREPLY[@]} -eq 0 ]] && __kolo_files -f
            ;;
    esac
}

_kolo() {
    local words current path=kolo __kolo_kind='' __kolo_names='' arguments=() only_arguments=''
    local before='' typed='' quote='' word value i head breaks REPLY
    COMPREPLY=()
    __kolo_split
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        word=${words[i]}
        if [[ -n $__kolo_kind ]]; then
            __kolo_kind=''
        elif [[ $only_arguments ]]; then
            arguments+=("$word")
        elif [[ $word == -- ]]; then
            only_arguments=1
        elif [[ $word == -* ]]; then
            __kolo_option "$path" "$word"
        else
            __kolo_commands "$path"
            if [[ " $__kolo_names " == *" $word "* ]]; then
                path+=" $word"
                arguments=()
            else
                arguments+=("${word//[\"\']/}")
            fi
        fi
    done

    typed=$current
    if [[ -z $__kolo_kind && -z $only_arguments && $typed == --*=* ]]; then
        before=${typed%%=*}=
        typed=${typed#*=}
        __kolo_option "$path" "${before%=}"
        [[ -n $__kolo_kind ]] || return 0
    fi
    [[ $typed == [\"\']* ]] && quote=${typed:0:1} typed=${typed:1}
    if [[ -n $__kolo_kind ]]; then
        __kolo_offer "$__kolo_kind"
    elif [[ $typed == -* && -z $only_arguments ]]; then
        __kolo_options "$path"
        for value in $__kolo_names; do __kolo_take "$value"; done
    else
        if ((${#arguments[@]} == 0)); then
            __kolo_commands "$path"
            for value in $__kolo_names; do __kolo_take "$value"; done
        fi
        __kolo_argument "$path" "$((${#arguments[@]} + 1))"
        __kolo_offer "$__kolo_kind"
    fi

    # bash puts in place of the part after the last : or = alone.
    breaks=${COMP_WORDBREAKS//[!:=]/}
    head=$current
    while [[ -n $head && $breaks != *"${head: -1}"* ]]; do head=${head%?}; done
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=${COMPREPLY[i]#"$head"}
        [[ -n ${COMPREPLY[i]} ]] || unset "COMPREPLY[i]"
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[*]} == *[:/] ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _kolo kolo
