
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'remat' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'remat'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'remat' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('plan', 'plan', [CompletionResultType]::ParameterValue, 'Plan which operators of a step to recompute')
            [CompletionResult]::new('predict', 'predict', [CompletionResultType]::ParameterValue, 'Predict the peak memory of a step, to the byte')
            [CompletionResult]::new('compare', 'compare', [CompletionResultType]::ParameterValue, 'Compare what all algorithms make of one or more steps')
            [CompletionResult]::new('frontier', 'frontier', [CompletionResultType]::ParameterValue, 'Show all plans worth having, from no recomputation to the least peak')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Draw a step with and without a plan: memory over time, frontier, modules, regions')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Verify a plan independently of planners and predictor')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show what a step or a chain is made of')
            [CompletionResult]::new('zoo', 'zoo', [CompletionResultType]::ParameterValue, 'List the built-in training steps')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print the manual page of remat, or of one of its commands')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'remat;plan' {
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Planning algorithm')
            [CompletionResult]::new('--algorithm', '--algorithm', [CompletionResultType]::ParameterName, 'Planning algorithm')
            [CompletionResult]::new('-b', '-b', [CompletionResultType]::ParameterName, 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan): recompute as little as it allows. Without a bound, the plan has the least peak')
            [CompletionResult]::new('--budget', '--budget', [CompletionResultType]::ParameterName, 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan): recompute as little as it allows. Without a bound, the plan has the least peak')
            [CompletionResult]::new('--nesting', '--nesting', [CompletionResultType]::ParameterName, 'How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of a proof')
            [CompletionResult]::new('--granularity', '--granularity', [CompletionResultType]::ParameterName, 'What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where `plan --emit` writes code: module]')
            [CompletionResult]::new('--only', '--only', [CompletionResultType]::ParameterName, 'Recompute only within modules whose path matches, such as ''layer[34]*''; * matches dots, too; repeatable')
            [CompletionResult]::new('--never', '--never', [CompletionResultType]::ParameterName, 'Never recompute modules whose path matches; repeatable')
            [CompletionResult]::new('--time-limit', '--time-limit', [CompletionResultType]::ParameterName, 'Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier has fewer points')
            [CompletionResult]::new('--max-labels', '--max-labels', [CompletionResultType]::ParameterName, 'Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]')
            [CompletionResult]::new('--optimizer', '--optimizer', [CompletionResultType]::ParameterName, 'Optimizer whose states and temporaries count towards the peak')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}')
            [CompletionResult]::new('--emit', '--emit', [CompletionResultType]::ParameterName, 'Write code that applies the plan, in place of the plan: a Python file for PyTorch, which does not need remat')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write the plan to a file, whole or not at all; - is standard output')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write the plan to a file, whole or not at all; - is standard output')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Print the plan itself (json) or a summary (table); a file named by --output gets the plan, or its code, in any case [default: json; nothing where --output names a file or --emit writes code]')
            [CompletionResult]::new('--selective', '--selective', [CompletionResultType]::ParameterName, 'Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel names, each region one')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;predict' {
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Plan to follow: a path or -; without it, nothing is recomputed')
            [CompletionResult]::new('--plan', '--plan', [CompletionResultType]::ParameterName, 'Plan to follow: a path or -; without it, nothing is recomputed')
            [CompletionResult]::new('--optimizer', '--optimizer', [CompletionResultType]::ParameterName, 'Optimizer whose states and temporaries count towards the peak')
            [CompletionResult]::new('--depth', '--depth', [CompletionResultType]::ParameterName, 'How many components of module paths the table of modules tells apart')
            [CompletionResult]::new('--gradient-dtype', '--gradient-dtype', [CompletionResultType]::ParameterName, 'Element type of the gradients of parameters, such as float32 [default: that of the trace]')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'What to print')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;compare' {
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Algorithm to compare; repeatable [default: all; kusumoto-* and rotor only where they take seconds]')
            [CompletionResult]::new('--algorithm', '--algorithm', [CompletionResultType]::ParameterName, 'Algorithm to compare; repeatable [default: all; kusumoto-* and rotor only where they take seconds]')
            [CompletionResult]::new('--optimizer', '--optimizer', [CompletionResultType]::ParameterName, 'Optimizer whose states and temporaries count towards the peak')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'What to print')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;frontier' {
            [CompletionResult]::new('--resolution', '--resolution', [CompletionResultType]::ParameterName, 'Distance of budgets: 64MiB, bytes, or a share of the peak without a plan')
            [CompletionResult]::new('--optimizer', '--optimizer', [CompletionResultType]::ParameterName, 'Optimizer whose states and temporaries count towards the peak')
            [CompletionResult]::new('--nesting', '--nesting', [CompletionResultType]::ParameterName, 'How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of a proof')
            [CompletionResult]::new('--granularity', '--granularity', [CompletionResultType]::ParameterName, 'What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where `plan --emit` writes code: module]')
            [CompletionResult]::new('--only', '--only', [CompletionResultType]::ParameterName, 'Recompute only within modules whose path matches, such as ''layer[34]*''; * matches dots, too; repeatable')
            [CompletionResult]::new('--never', '--never', [CompletionResultType]::ParameterName, 'Never recompute modules whose path matches; repeatable')
            [CompletionResult]::new('--time-limit', '--time-limit', [CompletionResultType]::ParameterName, 'Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier has fewer points')
            [CompletionResult]::new('--max-labels', '--max-labels', [CompletionResultType]::ParameterName, 'Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'What to print')
            [CompletionResult]::new('--exact', '--exact', [CompletionResultType]::ParameterName, 'Show every point, however close to the next')
            [CompletionResult]::new('--selective', '--selective', [CompletionResultType]::ParameterName, 'Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel names, each region one')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;report' {
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Plan to show, a plan/1 document: a path or -; repeatable')
            [CompletionResult]::new('--plan', '--plan', [CompletionResultType]::ParameterName, 'Plan to show, a plan/1 document: a path or -; repeatable')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Planning algorithm; repeatable [default: auto, or none beside a --plan]')
            [CompletionResult]::new('--algorithm', '--algorithm', [CompletionResultType]::ParameterName, 'Planning algorithm; repeatable [default: auto, or none beside a --plan]')
            [CompletionResult]::new('-b', '-b', [CompletionResultType]::ParameterName, 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan); repeatable')
            [CompletionResult]::new('--budget', '--budget', [CompletionResultType]::ParameterName, 'Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan); repeatable')
            [CompletionResult]::new('--nesting', '--nesting', [CompletionResultType]::ParameterName, 'How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of a proof')
            [CompletionResult]::new('--granularity', '--granularity', [CompletionResultType]::ParameterName, 'What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where `plan --emit` writes code: module]')
            [CompletionResult]::new('--only', '--only', [CompletionResultType]::ParameterName, 'Recompute only within modules whose path matches, such as ''layer[34]*''; * matches dots, too; repeatable')
            [CompletionResult]::new('--never', '--never', [CompletionResultType]::ParameterName, 'Never recompute modules whose path matches; repeatable')
            [CompletionResult]::new('--time-limit', '--time-limit', [CompletionResultType]::ParameterName, 'Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier has fewer points')
            [CompletionResult]::new('--max-labels', '--max-labels', [CompletionResultType]::ParameterName, 'Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]')
            [CompletionResult]::new('--optimizer', '--optimizer', [CompletionResultType]::ParameterName, 'Optimizer whose states and temporaries count towards the peak')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}')
            [CompletionResult]::new('--depth', '--depth', [CompletionResultType]::ParameterName, 'How many components of module paths are told apart [default: as many as make at most 40 rows]')
            [CompletionResult]::new('--resolution', '--resolution', [CompletionResultType]::ParameterName, 'Distance between the budgets of the frontier: bytes, 64MiB, or a share of the peak without checkpointing')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'What to write [default: by the ending of --output, html where it has none]')
            [CompletionResult]::new('--chart', '--chart', [CompletionResultType]::ParameterName, 'Which picture (svg) or table (csv) [default: timeline]')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write to a file, whole or not at all; - is standard output. Endings: .html, .svg, .csv, .json')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write to a file, whole or not at all; - is standard output. Endings: .html, .svg, .csv, .json')
            [CompletionResult]::new('--selective', '--selective', [CompletionResultType]::ParameterName, 'Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel names, each region one')
            [CompletionResult]::new('--no-frontier', '--no-frontier', [CompletionResultType]::ParameterName, 'Leave out the frontier and the other algorithms')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;check' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device whose times the plan states [default: the one it names, if that is built in; else times are not verified]')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'What to print')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;inspect' {
            [CompletionResult]::new('--depth', '--depth', [CompletionResultType]::ParameterName, 'Depth of modules in the table, or of clusters in the drawing')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device whose peak rates give a time to kernels that the trace has none for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4, or a JSON file of your own such as {"name": "mine", "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000, "bfloat16": 120000}}')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'What to print')
            [CompletionResult]::new('--backward', '--backward', [CompletionResultType]::ParameterName, 'Draw the backward pass, too (with --format dot)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;zoo' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'What to print')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;completions' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;man' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'remat;help' {
            [CompletionResult]::new('plan', 'plan', [CompletionResultType]::ParameterValue, 'Plan which operators of a step to recompute')
            [CompletionResult]::new('predict', 'predict', [CompletionResultType]::ParameterValue, 'Predict the peak memory of a step, to the byte')
            [CompletionResult]::new('compare', 'compare', [CompletionResultType]::ParameterValue, 'Compare what all algorithms make of one or more steps')
            [CompletionResult]::new('frontier', 'frontier', [CompletionResultType]::ParameterValue, 'Show all plans worth having, from no recomputation to the least peak')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Draw a step with and without a plan: memory over time, frontier, modules, regions')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Verify a plan independently of planners and predictor')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show what a step or a chain is made of')
            [CompletionResult]::new('zoo', 'zoo', [CompletionResultType]::ParameterValue, 'List the built-in training steps')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print the manual page of remat, or of one of its commands')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'remat;help;plan' {
            break
        }
        'remat;help;predict' {
            break
        }
        'remat;help;compare' {
            break
        }
        'remat;help;frontier' {
            break
        }
        'remat;help;report' {
            break
        }
        'remat;help;check' {
            break
        }
        'remat;help;inspect' {
            break
        }
        'remat;help;zoo' {
            break
        }
        'remat;help;completions' {
            break
        }
        'remat;help;man' {
            break
        }
        'remat;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
