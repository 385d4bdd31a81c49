# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_remat_global_optspecs
    string join \n h/help V/version
end

function __fish_remat_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_remat_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_remat_using_subcommand
    set -l cmd (__fish_remat_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c remat -n "__fish_remat_needs_command" -s h -l help -d 'Print help'
complete -c remat -n "__fish_remat_needs_command" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_needs_command" -f -a "plan" -d 'Plan which operators of a step to recompute'
complete -c remat -n "__fish_remat_needs_command" -f -a "predict" -d 'Predict the peak memory of a step, to the byte'
complete -c remat -n "__fish_remat_needs_command" -f -a "compare" -d 'Compare what all algorithms make of one or more steps'
complete -c remat -n "__fish_remat_needs_command" -f -a "frontier" -d 'Show all plans worth having, from no recomputation to the least peak'
complete -c remat -n "__fish_remat_needs_command" -f -a "report" -d 'Draw a step with and without a plan: memory over time, frontier, modules, regions'
complete -c remat -n "__fish_remat_needs_command" -f -a "check" -d 'Verify a plan independently of planners and predictor'
complete -c remat -n "__fish_remat_needs_command" -f -a "inspect" -d 'Show what a step or a chain is made of'
complete -c remat -n "__fish_remat_needs_command" -f -a "zoo" -d 'List the built-in training steps'
complete -c remat -n "__fish_remat_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c remat -n "__fish_remat_needs_command" -f -a "man" -d 'Print the manual page of remat, or of one of its commands'
complete -c remat -n "__fish_remat_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c remat -n "__fish_remat_using_subcommand plan" -s a -l algorithm -d 'Planning algorithm' -r -f -a "auto\t'interval for a training step, linear for a chain'
none\t'keeps everything, recomputes nothing (baseline)'
every\t'recomputes every layer on its own (baseline)'
sqrt\t'about sqrt(n) regions of equally many layers (baseline)'
uniform-K\t'K regions of equally many layers (baseline)'
chen\t'conservative peak of a chain: all checkpoints and the largest region (heuristic: greedy by a threshold, best of about 130)'
cubic\t'conservative peak of a chain: all checkpoints and the largest region (optimal on chains)'
linear\t'traced peak of a chain: checkpoints up to the current region, the region, a gradient pair (optimal on chains)'
linear-x\t'traced peak of a chain, exact for each step of a region\'s backward pass (optimal on chains)'
kusumoto-time\t'least recomputation over sequences of lower sets, within a model of memory (optimal for its model over its family of lower sets; predicted budgets decide)'
kusumoto-memory\t'most recomputation over sequences of lower sets, within a model of memory (optimal for its model over its family of lower sets; predicted budgets decide)'
rotor\t'least recomputation of a chain within a memory budget, by nested regions (optimal on chains over all persistent schedules, exact to the byte)'
interval\t'peak of the graph as the allocator sees it; least recomputation, within a budget too (optimal over all sets of regions between safe cuts)'"
complete -c remat -n "__fish_remat_using_subcommand plan" -s b -l budget -d 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan): recompute as little as it allows. Without a bound, the plan has the least peak' -r
complete -c remat -n "__fish_remat_using_subcommand plan" -l nesting -d 'How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of a proof' -r
complete -c remat -n "__fish_remat_using_subcommand plan" -l granularity -d 'What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where `plan --emit` writes code: module]' -r -f -a "operator\t'Any operators between two safe cuts'
module\t'Whole module calls, or runs of consecutive calls of siblings'"
complete -c remat -n "__fish_remat_using_subcommand plan" -l only -d 'Recompute only within modules whose path matches, such as \'layer[34]*\'; * matches dots, too; repeatable' -r
complete -c remat -n "__fish_remat_using_subcommand plan" -l never -d 'Never recompute modules whose path matches; repeatable' -r
complete -c remat -n "__fish_remat_using_subcommand plan" -l time-limit -d 'Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier has fewer points' -r
complete -c remat -n "__fish_remat_using_subcommand plan" -l max-labels -d 'Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]' -r
complete -c remat -n "__fish_remat_using_subcommand plan" -l optimizer -d 'Optimizer whose states and temporaries count towards the peak' -r -f -a "sgd\t''
sgd-momentum\t''
adam\t''
adam-foreach\t''
adam-fused\t''
adamw\t''
adamw-foreach\t''
adamw-fused\t''"
complete -c remat -n "__fish_remat_using_subcommand plan" -l device -d 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}' -r -F
complete -c remat -n "__fish_remat_using_subcommand plan" -l emit -d 'Write code that applies the plan, in place of the plan: a Python file for PyTorch, which does not need remat' -r -f -a "torch\t'A Python file with `apply(model)` and `remove(model)`'"
complete -c remat -n "__fish_remat_using_subcommand plan" -s o -l output -d 'Write the plan to a file, whole or not at all; - is standard output' -r -F
complete -c remat -n "__fish_remat_using_subcommand plan" -l format -d 'Print the plan itself (json) or a summary (table); a file named by --output gets the plan, or its code, in any case [default: json; nothing where --output names a file or --emit writes code]' -r -f -a "table\t'For people; sizes in binary units'
json\t'For programs; sizes in bytes'"
complete -c remat -n "__fish_remat_using_subcommand plan" -l selective -d 'Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel names, each region one'
complete -c remat -n "__fish_remat_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c remat -n "__fish_remat_using_subcommand plan" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand predict" -s p -l plan -d 'Plan to follow: a path or -; without it, nothing is recomputed' -r -F
complete -c remat -n "__fish_remat_using_subcommand predict" -l optimizer -d 'Optimizer whose states and temporaries count towards the peak' -r -f -a "sgd\t''
sgd-momentum\t''
adam\t''
adam-foreach\t''
adam-fused\t''
adamw\t''
adamw-foreach\t''
adamw-fused\t''"
complete -c remat -n "__fish_remat_using_subcommand predict" -l depth -d 'How many components of module paths the table of modules tells apart' -r
complete -c remat -n "__fish_remat_using_subcommand predict" -l gradient-dtype -d 'Element type of the gradients of parameters, such as float32 [default: that of the trace]' -r
complete -c remat -n "__fish_remat_using_subcommand predict" -l format -d 'What to print' -r -f -a "table\t'For people; sizes in binary units'
json\t'For programs; sizes in bytes'"
complete -c remat -n "__fish_remat_using_subcommand predict" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c remat -n "__fish_remat_using_subcommand predict" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand compare" -s a -l algorithm -d 'Algorithm to compare; repeatable [default: all; kusumoto-* and rotor only where they take seconds]' -r -f -a "none\t'keeps everything, recomputes nothing (baseline)'
every\t'recomputes every layer on its own (baseline)'
sqrt\t'about sqrt(n) regions of equally many layers (baseline)'
uniform-K\t'K regions of equally many layers (baseline)'
chen\t'conservative peak of a chain: all checkpoints and the largest region (heuristic: greedy by a threshold, best of about 130)'
cubic\t'conservative peak of a chain: all checkpoints and the largest region (optimal on chains)'
linear\t'traced peak of a chain: checkpoints up to the current region, the region, a gradient pair (optimal on chains)'
linear-x\t'traced peak of a chain, exact for each step of a region\'s backward pass (optimal on chains)'
kusumoto-time\t'least recomputation over sequences of lower sets, within a model of memory (optimal for its model over its family of lower sets; predicted budgets decide)'
kusumoto-memory\t'most recomputation over sequences of lower sets, within a model of memory (optimal for its model over its family of lower sets; predicted budgets decide)'
rotor\t'least recomputation of a chain within a memory budget, by nested regions (optimal on chains over all persistent schedules, exact to the byte)'
interval\t'peak of the graph as the allocator sees it; least recomputation, within a budget too (optimal over all sets of regions between safe cuts)'"
complete -c remat -n "__fish_remat_using_subcommand compare" -l optimizer -d 'Optimizer whose states and temporaries count towards the peak' -r -f -a "sgd\t''
sgd-momentum\t''
adam\t''
adam-foreach\t''
adam-fused\t''
adamw\t''
adamw-foreach\t''
adamw-fused\t''"
complete -c remat -n "__fish_remat_using_subcommand compare" -l device -d 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}' -r -F
complete -c remat -n "__fish_remat_using_subcommand compare" -l format -d 'What to print' -r -f -a "table\t'For people; sizes in binary units'
json\t'For programs; sizes in bytes'"
complete -c remat -n "__fish_remat_using_subcommand compare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c remat -n "__fish_remat_using_subcommand compare" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand frontier" -l resolution -d 'Distance of budgets: 64MiB, bytes, or a share of the peak without a plan' -r
complete -c remat -n "__fish_remat_using_subcommand frontier" -l optimizer -d 'Optimizer whose states and temporaries count towards the peak' -r -f -a "sgd\t''
sgd-momentum\t''
adam\t''
adam-foreach\t''
adam-fused\t''
adamw\t''
adamw-foreach\t''
adamw-fused\t''"
complete -c remat -n "__fish_remat_using_subcommand frontier" -l nesting -d 'How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of a proof' -r
complete -c remat -n "__fish_remat_using_subcommand frontier" -l granularity -d 'What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where `plan --emit` writes code: module]' -r -f -a "operator\t'Any operators between two safe cuts'
module\t'Whole module calls, or runs of consecutive calls of siblings'"
complete -c remat -n "__fish_remat_using_subcommand frontier" -l only -d 'Recompute only within modules whose path matches, such as \'layer[34]*\'; * matches dots, too; repeatable' -r
complete -c remat -n "__fish_remat_using_subcommand frontier" -l never -d 'Never recompute modules whose path matches; repeatable' -r
complete -c remat -n "__fish_remat_using_subcommand frontier" -l time-limit -d 'Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier has fewer points' -r
complete -c remat -n "__fish_remat_using_subcommand frontier" -l max-labels -d 'Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]' -r
complete -c remat -n "__fish_remat_using_subcommand frontier" -l device -d 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}' -r -F
complete -c remat -n "__fish_remat_using_subcommand frontier" -l format -d 'What to print' -r -f -a "table\t'For people; sizes in binary units'
json\t'For programs; sizes in bytes'
csv\t'For spreadsheets; sizes in bytes'"
complete -c remat -n "__fish_remat_using_subcommand frontier" -l exact -d 'Show every point, however close to the next'
complete -c remat -n "__fish_remat_using_subcommand frontier" -l selective -d 'Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel names, each region one'
complete -c remat -n "__fish_remat_using_subcommand frontier" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c remat -n "__fish_remat_using_subcommand frontier" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand report" -s p -l plan -d 'Plan to show, a plan/1 document: a path or -; repeatable' -r -F
complete -c remat -n "__fish_remat_using_subcommand report" -s a -l algorithm -d 'Planning algorithm; repeatable [default: auto, or none beside a --plan]' -r -f -a "auto\t'interval for a training step, linear for a chain'
none\t'keeps everything, recomputes nothing (baseline)'
every\t'recomputes every layer on its own (baseline)'
sqrt\t'about sqrt(n) regions of equally many layers (baseline)'
uniform-K\t'K regions of equally many layers (baseline)'
chen\t'conservative peak of a chain: all checkpoints and the largest region (heuristic: greedy by a threshold, best of about 130)'
cubic\t'conservative peak of a chain: all checkpoints and the largest region (optimal on chains)'
linear\t'traced peak of a chain: checkpoints up to the current region, the region, a gradient pair (optimal on chains)'
linear-x\t'traced peak of a chain, exact for each step of a region\'s backward pass (optimal on chains)'
kusumoto-time\t'least recomputation over sequences of lower sets, within a model of memory (optimal for its model over its family of lower sets; predicted budgets decide)'
kusumoto-memory\t'most recomputation over sequences of lower sets, within a model of memory (optimal for its model over its family of lower sets; predicted budgets decide)'
rotor\t'least recomputation of a chain within a memory budget, by nested regions (optimal on chains over all persistent schedules, exact to the byte)'
interval\t'peak of the graph as the allocator sees it; least recomputation, within a budget too (optimal over all sets of regions between safe cuts)'"
complete -c remat -n "__fish_remat_using_subcommand report" -s b -l budget -d 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan); repeatable' -r
complete -c remat -n "__fish_remat_using_subcommand report" -l nesting -d 'How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of a proof' -r
complete -c remat -n "__fish_remat_using_subcommand report" -l granularity -d 'What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where `plan --emit` writes code: module]' -r -f -a "operator\t'Any operators between two safe cuts'
module\t'Whole module calls, or runs of consecutive calls of siblings'"
complete -c remat -n "__fish_remat_using_subcommand report" -l only -d 'Recompute only within modules whose path matches, such as \'layer[34]*\'; * matches dots, too; repeatable' -r
complete -c remat -n "__fish_remat_using_subcommand report" -l never -d 'Never recompute modules whose path matches; repeatable' -r
complete -c remat -n "__fish_remat_using_subcommand report" -l time-limit -d 'Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier has fewer points' -r
complete -c remat -n "__fish_remat_using_subcommand report" -l max-labels -d 'Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]' -r
complete -c remat -n "__fish_remat_using_subcommand report" -l optimizer -d 'Optimizer whose states and temporaries count towards the peak' -r -f -a "sgd\t''
sgd-momentum\t''
adam\t''
adam-foreach\t''
adam-fused\t''
adamw\t''
adamw-foreach\t''
adamw-fused\t''"
complete -c remat -n "__fish_remat_using_subcommand report" -l device -d 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}' -r -F
complete -c remat -n "__fish_remat_using_subcommand report" -l depth -d 'How many components of module paths are told apart [default: as many as make at most 40 rows]' -r
complete -c remat -n "__fish_remat_using_subcommand report" -l resolution -d 'Distance between the budgets of the frontier: bytes, 64MiB, or a share of the peak without checkpointing' -r
complete -c remat -n "__fish_remat_using_subcommand report" -l format -d 'What to write [default: by the ending of --output, html where it has none]' -r -f -a "html\t'A page with everything on it, for a browser'
svg\t'One picture, for papers and notebooks'
csv\t'The data behind one picture, for spreadsheets; sizes in bytes'
json\t'All data, for programs; sizes in bytes'"
complete -c remat -n "__fish_remat_using_subcommand report" -l chart -d 'Which picture (svg) or table (csv) [default: timeline]' -r -f -a "timeline\t'Memory over the step, by kind'
frontier\t'Peak against recomputation'
factors\t'Memory by module'
regions\t'The regions of the plans (csv only)'"
complete -c remat -n "__fish_remat_using_subcommand report" -s o -l output -d 'Write to a file, whole or not at all; - is standard output. Endings: .html, .svg, .csv, .json' -r -F
complete -c remat -n "__fish_remat_using_subcommand report" -l selective -d 'Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel names, each region one'
complete -c remat -n "__fish_remat_using_subcommand report" -l no-frontier -d 'Leave out the frontier and the other algorithms'
complete -c remat -n "__fish_remat_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c remat -n "__fish_remat_using_subcommand report" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand check" -l device -d 'Device whose times the plan states [default: the one it names, if that is built in; else times are not verified]' -r -F
complete -c remat -n "__fish_remat_using_subcommand check" -l format -d 'What to print' -r -f -a "table\t'For people; sizes in binary units'
json\t'For programs; sizes in bytes'"
complete -c remat -n "__fish_remat_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c remat -n "__fish_remat_using_subcommand check" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand inspect" -l depth -d 'Depth of modules in the table, or of clusters in the drawing' -r
complete -c remat -n "__fish_remat_using_subcommand inspect" -l device -d 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}' -r -F
complete -c remat -n "__fish_remat_using_subcommand inspect" -l format -d 'What to print' -r -f -a "table\t'For people; sizes in binary units'
json\t'For programs; sizes in bytes'
dot\t'Graphviz'"
complete -c remat -n "__fish_remat_using_subcommand inspect" -l backward -d 'Draw the backward pass, too (with --format dot)'
complete -c remat -n "__fish_remat_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c remat -n "__fish_remat_using_subcommand inspect" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand zoo" -l format -d 'What to print' -r -f -a "table\t'For people; sizes in binary units'
json\t'For programs; sizes in bytes'"
complete -c remat -n "__fish_remat_using_subcommand zoo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c remat -n "__fish_remat_using_subcommand zoo" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand completions" -s h -l help -d 'Print help'
complete -c remat -n "__fish_remat_using_subcommand completions" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand man" -s h -l help -d 'Print help'
complete -c remat -n "__fish_remat_using_subcommand man" -s V -l version -d 'Print version'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "plan" -d 'Plan which operators of a step to recompute'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "predict" -d 'Predict the peak memory of a step, to the byte'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "compare" -d 'Compare what all algorithms make of one or more steps'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "frontier" -d 'Show all plans worth having, from no recomputation to the least peak'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "report" -d 'Draw a step with and without a plan: memory over time, frontier, modules, regions'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "check" -d 'Verify a plan independently of planners and predictor'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "inspect" -d 'Show what a step or a chain is made of'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "zoo" -d 'List the built-in training steps'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "man" -d 'Print the manual page of remat, or of one of its commands'
complete -c remat -n "__fish_remat_using_subcommand help; and not __fish_seen_subcommand_from plan predict compare frontier report check inspect zoo completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
