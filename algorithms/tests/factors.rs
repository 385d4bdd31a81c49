//! Factor tables: columns add up, totals are what the predictor says, options scale what they should.

use remat_algorithms::plan::Regions;
use remat_algorithms::predict::{
    ElementType, FactorError, FactorOptions, FactorTable, Factors, Optimizer, Predictor, Scratch,
};
use remat_graphs::{Graph, StorageKind, zoo};

mod regions;

fn bytes(graph: &Graph, is: impl Fn(u32) -> bool) -> u64 {
    (0..graph.sizes().len() as u32).filter(|&s| is(s)).map(|s| graph.size(s)).sum()
}

const COLUMNS: [fn(&Factors) -> u64; 9] = [
    |f| f.trainable_parameters,
    |f| f.frozen_parameters,
    |f| f.buffers,
    |f| f.inputs,
    |f| f.gradients,
    |f| f.optimizer_states,
    |f| f.activations,
    |f| f.recomputed,
    |f| f.temporaries,
];

fn table(graph: &Graph, options: FactorOptions) -> FactorTable {
    FactorTable::new(&Predictor::new(graph), &Regions::default(), &options, &mut Scratch::default()).unwrap()
}

#[test]
fn columns_add_up_and_totals_are_those_of_graph_and_predictor() {
    for graph in zoo::names().map(|n| zoo::load(n).unwrap()) {
        let predictor = Predictor::new(&graph);
        let mut scratch = Scratch::default();
        for (kind, segments) in regions::all(&graph) {
            let regions = Regions::resolve(&graph, &segments).unwrap();
            for (depth, optimizer) in [(0, None), (1, Some(Optimizer::Adam)), (3, Some(Optimizer::SgdMomentum))] {
                let place = format!("{} {kind} {depth} {optimizer:?}", graph.name());
                let options = FactorOptions { depth, optimizer, gradient_type: None };
                let table = FactorTable::new(&predictor, &regions, &options, &mut scratch).unwrap();
                assert_eq!(Ok(&table), FactorTable::new(&predictor, &regions, &options, &mut scratch).as_ref());
                let total = &table.total;
                for column in COLUMNS {
                    assert_eq!(table.modules.iter().map(column).sum::<u64>(), column(total), "{place}");
                }
                assert_eq!(COLUMNS.iter().map(|c| c(total)).sum::<u64>(), total.sum(), "{place}");

                let peaks = predictor.peaks(&regions, optimizer, &mut scratch);
                let parameters = total.trainable_parameters + total.frozen_parameters;
                assert_eq!(parameters, bytes(&graph, |s| graph.kind(s) == StorageKind::Param), "{place}");
                assert_eq!(parameters + total.buffers, graph.static_bytes(), "{place}");
                assert_eq!(total.inputs, graph.input_bytes(), "{place}");
                assert_eq!(total.gradients, bytes(&graph, |s| graph.kind(s) == StorageKind::ParamGrad), "{place}");
                assert_eq!(total.gradients, total.trainable_parameters, "{place}");
                assert_eq!(total.optimizer_states, optimizer.map_or(0, |o| o.state_bytes(&graph)), "{place}");
                assert_eq!(peaks.static_bytes + total.inputs + total.activations, peaks.after_forward, "{place}");
                assert!(total.sum() >= peaks.peak_forward.max(peaks.peak_backward), "{place}");
                assert_eq!(total.recomputed > 0, kind != "none" && total.recomputed > 0, "{place}");

                let mut paths: Vec<&str> = table.modules.iter().map(|m| m.module.as_str()).collect();
                assert!(paths.iter().all(|p| p.split('.').count() <= depth.max(1) as usize), "{place}");
                assert!(depth > 0 || paths == [""], "{place}");
                paths.sort_unstable();
                paths.dedup();
                assert_eq!(paths.len(), table.modules.len(), "{place}");
            }
        }
    }
}

#[test]
fn a_multimodal_model_reads_as_tower_projector_and_language_model() {
    let graph = zoo::load("llava-b4-s256-bf16").unwrap();
    let table = table(&graph, FactorOptions { optimizer: Some(Optimizer::Adamw), ..FactorOptions::default() });
    let of = |module: &str| table.modules.iter().find(|m| m.module == module).unwrap();
    let paths: Vec<&str> = table.modules.iter().map(|m| m.module.as_str()).collect();
    assert_eq!(paths, ["vision", "", "projector", "language"]);
    let (vision, projector, language) = (of("vision"), of("projector"), of("language"));
    assert!(vision.frozen_parameters > 0 && projector.trainable_parameters > 0 && language.trainable_parameters > 0);
    assert_eq!((vision.trainable_parameters, vision.gradients, vision.optimizer_states), (0, 0, 0));
    // Nothing is saved in a frozen tower whose inputs need no gradient.
    assert_eq!(vision.activations, 0);
    assert_eq!((projector.frozen_parameters, language.frozen_parameters), (0, 0));
    assert!(language.activations > projector.activations && projector.activations > 0);
    let states = 2 * projector.trainable_parameters + 512 * 4;
    assert_eq!(projector.optimizer_states, states);
}

#[test]
fn lora_keeps_trainable_and_frozen_apart() {
    let graph = zoo::load("llama-lora-b4-s1024-bf16").unwrap();
    let total = table(&graph, FactorOptions::default()).total;
    assert!(total.frozen_parameters > 100 * total.trainable_parameters && total.trainable_parameters > 0);
    assert_eq!(total.gradients, total.trainable_parameters);
}

#[test]
fn gradients_scale_with_their_element_type() {
    for graph in zoo::names().map(|n| zoo::load(n).unwrap()) {
        let of = |gradient_type| table(&graph, FactorOptions { gradient_type, ..FactorOptions::default() });
        let recorded = of(None);
        // The zoo trains in one type of parameters per model, batch normalisation under autocast included.
        let own = if graph.name().ends_with("bf16") { ElementType::Bfloat16 } else { ElementType::Float32 };
        assert_eq!(of(Some(own)), recorded, "{}", graph.name());
        for wanted in ElementType::ALL {
            let block = graph.trace().block;
            let gradients = graph.storages().iter().filter(|s| s.kind == StorageKind::ParamGrad);
            let scaled = gradients.map(|s| (s.bytes / own.bytes() * wanted.bytes()).div_ceil(block) * block);
            let table = of(Some(wanted));
            assert_eq!(table.total.gradients, scaled.sum::<u64>(), "{} {wanted}", graph.name());
            let others = |f: &Factors| Factors { gradients: 0, ..f.clone() };
            assert_eq!(others(&table.total), others(&recorded.total), "{} {wanted}", graph.name());
        }
    }
}

#[test]
fn gradients_of_unknown_type_are_refused() {
    let mut trace = zoo::load("vgg16-b32").unwrap().trace().clone();
    trace.backward.iter_mut().for_each(|k| k.dtype = None);
    let graph = Graph::new(trace).unwrap();
    let options = FactorOptions { gradient_type: Some(ElementType::Float32), ..FactorOptions::default() };
    let refused = FactorTable::new(&Predictor::new(&graph), &Regions::default(), &options, &mut Scratch::default());
    let Err(FactorError::UnknownType { parameter, .. }) = refused else { panic!("{refused:?}") };
    assert!(parameter.ends_with(".weight") || parameter.rsplit('.').next() == Some("bias"), "{parameter}");
    assert_eq!("bf16".parse::<ElementType>().unwrap_err().0, "bf16");
}
