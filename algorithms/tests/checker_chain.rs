//! Chain plans: objective values by hand, and faults.

use remat_algorithms::checker::{ChainObjective, CheckError, check_chain, check_chain_plan};
use remat_algorithms::plan::Plan;
use remat_graphs::Chain;

fn chain() -> Chain {
    Chain::from_sizes("five", [3, 10, 4, 7, 2])
}

#[test]
fn values_by_hand() {
    let value = |c: &[u32], o| check_chain(&chain(), c, o).unwrap();
    // Conservative: 4 kept, the runs are 3 + 10 and 7 + 2.
    assert_eq!(value(&[2], ChainObjective::Conservative), 4 + 13);
    assert_eq!(value(&[], ChainObjective::Conservative), 26);
    assert_eq!(value(&[0, 1, 2, 3, 4], ChainObjective::Conservative), 26);
    // Traced: 0..2 needs 3 + (10 + 10 + 4), 2..4 needs 3 + 4 + (7 + 7 + 2).
    assert_eq!(value(&[0, 2, 4], ChainObjective::Traced), 27);
    // Stepwise: 0..2 needs 3 + max(10 + 3, 10 + 4 + 10), 2..4 needs 7 + max(7 + 4, 7 + 2 + 7).
    assert_eq!(value(&[0, 2, 4], ChainObjective::Stepwise), 27);
    assert_eq!(value(&[0, 1, 4], ChainObjective::Traced), 13 + 11 + 10 + 2);
    // 1..4 needs 13 + max(4 + 10, 4 + 7 + 4, 11 + 2 + 7).
    assert_eq!(value(&[0, 1, 4], ChainObjective::Stepwise), 13 + 20);
}

#[test]
fn faults() {
    let refused = |c: &[u32], o| check_chain(&chain(), c, o).unwrap_err();
    let traced = ChainObjective::Traced;
    assert_eq!(refused(&[0, 5], traced), CheckError::Checkpoint { at: 1, layer: 5, layers: 5 });
    assert_eq!(refused(&[0, 2, 2, 4], traced), CheckError::Checkpoint { at: 2, layer: 2, layers: 5 });
    assert_eq!(refused(&[2, 4], traced), CheckError::EndNotKept(0));
    assert_eq!(refused(&[0, 2], traced), CheckError::EndNotKept(4));
    assert_eq!(refused(&[], traced), CheckError::EndNotKept(0));
}

#[test]
fn plans() {
    let read = |text: &str| serde_json::from_str::<Plan>(text).unwrap();
    let check = |text: &str| check_chain_plan(&chain(), &read(text), ChainObjective::Traced);
    let good = r#"{"format": "plan/1", "checkpoints": [0, 2, 4], "predicted": {"peak": 27}, "budget": 27}"#;
    assert_eq!(check(good), Ok(27));
    let Err(CheckError::Mismatch(found)) = check(&good.replace("27", "26")) else { panic!("a false peak passed") };
    assert_eq!(found.iter().map(|m| m.field).collect::<Vec<_>>(), ["predicted.peak", "budget"]);
    assert_eq!(check(r#"{"format": "plan/1", "segments": []}"#), Err(CheckError::WrongKind("checkpoints")));
    assert_eq!(check(r#"{"format": "plan/2", "checkpoints": []}"#), Err(CheckError::Format("plan/2".into())));
}
