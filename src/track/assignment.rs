//! Pairing at the least total cost, by the Hungarian method (Kuhn 1955, Munkres 1957).

use std::collections::BTreeMap;

use pathfinding::{kuhn_munkres::kuhn_munkres_min, matrix::Matrix};

/// Pairs rows with columns at the least total cost; a row or column stays alone rather than pay more than `limit`.
/// `None` costs are forbidden. Returns the column of each row.
pub(super) fn assign(costs: &[Vec<Option<f64>>], columns: usize, limit: f64) -> Vec<Option<usize>> {
    let rows = costs.len();
    if rows == 0 || columns == 0 {
        return vec![None; rows];
    }
    let units = |cost: f64| (cost * 1e4).round() as i64;
    let weights = Matrix::from_fn(rows, columns + rows, |(row, column)| {
        let cost = if column < columns { costs[row][column] } else { Some(limit) };
        cost.filter(|c| c.is_finite() && *c <= limit).map_or(units(limit) * 1000 + 1, units)
    });
    let (_, chosen) = kuhn_munkres_min(&weights);
    chosen.into_iter().map(|c| (c < columns).then_some(c)).collect()
}

/// [`assign`] where most pairs are forbidden: `costs` lists the others as row, column and cost. What is not connected by them is paired
/// by itself, so that the work grows with the largest group and not with the square of all.
pub(super) fn assign_sparse(
    rows: usize,
    columns: usize,
    costs: &[(usize, usize, f64)],
    limit: f64,
) -> Vec<Option<usize>> {
    let possible = || costs.iter().filter(|(.., cost)| cost.is_finite() && *cost <= limit);
    // Rows first, then columns.
    let mut groups = Groups::new(rows + columns);
    possible().for_each(|&(row, column, _)| groups.join(row, rows + column));
    let mut members: BTreeMap<usize, Vec<(usize, usize, f64)>> = BTreeMap::new();
    for &(row, column, cost) in possible() {
        members.entry(groups.of(row)).or_default().push((row, column, cost));
    }
    let mut chosen = vec![None; rows];
    for members in members.into_values() {
        let distinct = |of: &dyn Fn(&(usize, usize, f64)) -> usize| {
            let mut all: Vec<usize> = members.iter().map(of).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let (own_rows, own_columns) = (distinct(&|m| m.0), distinct(&|m| m.1));
        let mut costs = vec![vec![None; own_columns.len()]; own_rows.len()];
        for (row, column, cost) in members {
            if let (Ok(r), Ok(c)) = (own_rows.binary_search(&row), own_columns.binary_search(&column)) {
                costs[r][c] = Some(cost);
            }
        }
        for (&row, column) in own_rows.iter().zip(assign(&costs, own_columns.len(), limit)) {
            chosen[row] = column.map(|c| own_columns[c]);
        }
    }
    chosen
}

/// Which of some things are connected (a union-find with halved paths).
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The thing that stands for the group.
    fn of(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_paired_as_the_whole_is() {
        let noise = |i: usize| ((i as f64 * 12.9898).sin() * 43758.5453).fract().abs();
        for round in 0..20 {
            let (rows, columns) = (9 + round % 3, 8 + round % 5);
            let cost = |r: usize, c: usize| {
                let at = 1000 * round + 31 * r + c;
                (noise(at + 7) < 0.2).then(|| 1.6 * noise(at))
            };
            let dense: Vec<Vec<_>> = (0..rows).map(|r| (0..columns).map(|c| cost(r, c)).collect()).collect();
            let pairs = (0..rows).flat_map(|r| (0..columns).filter_map(move |c| Some((r, c, cost(r, c)?))));
            let sparse: Vec<_> = pairs.collect();
            assert_eq!(assign_sparse(rows, columns, &sparse, 1.2), assign(&dense, columns, 1.2), "round {round}");
        }
        assert_eq!(assign_sparse(2, 0, &[], 1.0), [None, None]);
    }

    #[test]
    fn assignment_is_global_and_leaves_bad_pairs_alone() {
        // Greedy would take (0, 0) first and leave row 1 with nothing.
        let costs = vec![vec![Some(0.1), Some(0.2)], vec![Some(0.15), None]];
        assert_eq!(assign(&costs, 2, 1.0), [Some(1), Some(0)]);
        assert_eq!(assign(&[vec![Some(2.0)]], 1, 1.0), [None]);
        assert_eq!(assign(&[vec![], vec![]], 0, 1.0), [None, None]);
    }
}
