
use builtin;
use str;

set edit:completion:arg-completer[remat] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'remat'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'remat'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
            cand plan 'Plan which operators of a step to recompute'
            cand predict 'Predict the peak memory of a step, to the byte'
            cand compare 'Compare what all algorithms make of one or more steps'
            cand frontier 'Show all plans worth having, from no recomputation to the least peak'
            cand report 'Draw a step with and without a plan: memory over time, frontier, modules, regions'
            cand check 'Verify a plan independently of planners and predictor'
            cand inspect 'Show what a step or a chain is made of'
            cand zoo 'List the built-in training steps'
            cand completions 'Print a completion script for a shell'
            cand man 'Print the manual page of remat, or of one of its commands'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'remat;plan'= {
            cand -a 'Planning algorithm'
            cand --algorithm 'Planning algorithm'
            cand -b 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan): recompute as little as it allows. Without a bound, the plan has the least peak'
            cand --budget 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan): recompute as little as it allows. Without a bound, the plan has the least peak'
            cand --nesting 'How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of a proof'
            cand --granularity 'What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where `plan --emit` writes code: module]'
            cand --only 'Recompute only within modules whose path matches, such as ''layer[34]*''; * matches dots, too; repeatable'
            cand --never 'Never recompute modules whose path matches; repeatable'
            cand --time-limit 'Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier has fewer points'
            cand --max-labels 'Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]'
            cand --optimizer 'Optimizer whose states and temporaries count towards the peak'
            cand --device 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}'
            cand --emit 'Write code that applies the plan, in place of the plan: a Python file for PyTorch, which does not need remat'
            cand -o 'Write the plan to a file, whole or not at all; - is standard output'
            cand --output 'Write the plan to a file, whole or not at all; - is standard output'
            cand --format 'Print the plan itself (json) or a summary (table); a file named by --output gets the plan, or its code, in any case [default: json; nothing where --output names a file or --emit writes code]'
            cand --selective 'Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel names, each region one'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;predict'= {
            cand -p 'Plan to follow: a path or -; without it, nothing is recomputed'
            cand --plan 'Plan to follow: a path or -; without it, nothing is recomputed'
            cand --optimizer 'Optimizer whose states and temporaries count towards the peak'
            cand --depth 'How many components of module paths the table of modules tells apart'
            cand --gradient-dtype 'Element type of the gradients of parameters, such as float32 [default: that of the trace]'
            cand --format 'What to print'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;compare'= {
            cand -a 'Algorithm to compare; repeatable [default: all; kusumoto-* and rotor only where they take seconds]'
            cand --algorithm 'Algorithm to compare; repeatable [default: all; kusumoto-* and rotor only where they take seconds]'
            cand --optimizer 'Optimizer whose states and temporaries count towards the peak'
            cand --device 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}'
            cand --format 'What to print'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;frontier'= {
            cand --resolution 'Distance of budgets: 64MiB, bytes, or a share of the peak without a plan'
            cand --optimizer 'Optimizer whose states and temporaries count towards the peak'
            cand --nesting 'How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of a proof'
            cand --granularity 'What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where `plan --emit` writes code: module]'
            cand --only 'Recompute only within modules whose path matches, such as ''layer[34]*''; * matches dots, too; repeatable'
            cand --never 'Never recompute modules whose path matches; repeatable'
            cand --time-limit 'Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier has fewer points'
            cand --max-labels 'Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]'
            cand --device 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}'
            cand --format 'What to print'
            cand --exact 'Show every point, however close to the next'
            cand --selective 'Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel names, each region one'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;report'= {
            cand -p 'Plan to show, a plan/1 document: a path or -; repeatable'
            cand --plan 'Plan to show, a plan/1 document: a path or -; repeatable'
            cand -a 'Planning algorithm; repeatable [default: auto, or none beside a --plan]'
            cand --algorithm 'Planning algorithm; repeatable [default: auto, or none beside a --plan]'
            cand -b 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan); repeatable'
            cand --budget 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan); repeatable'
            cand --nesting 'How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of a proof'
            cand --granularity 'What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where `plan --emit` writes code: module]'
            cand --only 'Recompute only within modules whose path matches, such as ''layer[34]*''; * matches dots, too; repeatable'
            cand --never 'Never recompute modules whose path matches; repeatable'
            cand --time-limit 'Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier has fewer points'
            cand --max-labels 'Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]'
            cand --optimizer 'Optimizer whose states and temporaries count towards the peak'
            cand --device 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}'
            cand --depth 'How many components of module paths are told apart [default: as many as make at most 40 rows]'
            cand --resolution 'Distance between the budgets of the frontier: bytes, 64MiB, or a share of the peak without checkpointing'
            cand --format 'What to write [default: by the ending of --output, html where it has none]'
            cand --chart 'Which picture (svg) or table (csv) [default: timeline]'
            cand -o 'Write to a file, whole or not at all; - is standard output. Endings: .html, .svg, .csv, .json'
            cand --output 'Write to a file, whole or not at all; - is standard output. Endings: .html, .svg, .csv, .json'
            cand --selective 'Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel names, each region one'
            cand --no-frontier 'Leave out the frontier and the other algorithms'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;check'= {
            cand --device 'Device whose times the plan states [default: the one it names, if that is built in; else times are not verified]'
            cand --format 'What to print'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;inspect'= {
            cand --depth 'Depth of modules in the table, or of clusters in the drawing'
            cand --device 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}'
            cand --format 'What to print'
            cand --backward 'Draw the backward pass, too (with --format dot)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;zoo'= {
            cand --format 'What to print'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;completions'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;man'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'remat;help'= {
            cand plan 'Plan which operators of a step to recompute'
            cand predict 'Predict the peak memory of a step, to the byte'
            cand compare 'Compare what all algorithms make of one or more steps'
            cand frontier 'Show all plans worth having, from no recomputation to the least peak'
            cand report 'Draw a step with and without a plan: memory over time, frontier, modules, regions'
            cand check 'Verify a plan independently of planners and predictor'
            cand inspect 'Show what a step or a chain is made of'
            cand zoo 'List the built-in training steps'
            cand completions 'Print a completion script for a shell'
            cand man 'Print the manual page of remat, or of one of its commands'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'remat;help;plan'= {
        }
        &'remat;help;predict'= {
        }
        &'remat;help;compare'= {
        }
        &'remat;help;frontier'= {
        }
        &'remat;help;report'= {
        }
        &'remat;help;check'= {
        }
        &'remat;help;inspect'= {
        }
        &'remat;help;zoo'= {
        }
        &'remat;help;completions'= {
        }
        &'remat;help;man'= {
        }
        &'remat;help;help'= {
        }
    ]
    $completions[$command]
}
