//! Query cost of the operations of a document. Computed when the document is parsed, except for the parts that depend
//! on variables and on the lengths of the floor plan's lists.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet};
use async_graphql::{Name, Value as ConstValue, Variables};
use async_graphql_value::Value;
use entity::Instant;

use super::cost_model::{CostModel, Entries};
use super::{DocumentError, Measure, PAGE_DEFAULT, PAGE_MAX, root};
use crate::floor_plan::Lengths;
use crate::limits::Limits;

const BUCKETS_MAX: u64 = 10_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// Cost of a day of a history, in addition to its buckets. `bench/dearest` measures the memory for days of many spaces.
const DAY_COST: u64 = 2;

/// Costs of the operations of one document. Every field costs at least one, so a cheap operation has a short answer.
#[derive(Debug)]
pub(in crate::http::graphql) struct Costs(Vec<OperationCost>);

#[derive(Debug)]
struct OperationCost {
    operation: Option<Name>,
    cost: Cost,
    /// Default values of its variables.
    defaults: HashMap<Name, ConstValue>,
}

/// A cost: a constant part, and parts that depend on the request.
#[derive(Clone, Debug, Default)]
struct Cost {
    known: u64,
    varying: Vec<Arc<Varying>>,
}

/// A part of a cost that depends on the request: the cost of a field's entries.
#[derive(Debug)]
struct Varying {
    entries: Entries,
    /// The field's arguments.
    arguments: Vec<(Name, Argument)>,
    /// Cost of each entry.
    each: Cost,
}

/// An argument: its value, or the variable that holds it.
#[derive(Debug)]
enum Argument {
    Known(ConstValue),
    Variable(Name),
}

/// The variables of a request, and the data and limits that its cost depends on.
struct Given<'a> {
    variables: &'a Variables,
    defaults: &'a HashMap<Name, ConstValue>,
    lengths: &'a Lengths,
    limits: &'a Limits,
}

#[derive(Clone, Copy, Debug)]
struct Parents {
    number: u64,
    /// Whether they are certainly distinct. Then their lists together have no more entries than exist.
    are_distinct: bool,
}

impl Costs {
    /// Computes the costs. The document must have passed [`check_size`](super::check_size()).
    pub(in crate::http::graphql) fn new(document: &ExecutableDocument, model: &CostModel) -> Self {
        let mut visitor = CostVisitor { document, model, fragments: HashMap::new() };
        let costs = document.operations.iter().map(|(name, operation)| {
            let OperationDefinition { ty, variable_definitions, selection_set, .. } = &operation.node;
            let defaults = variable_definitions.iter().filter_map(|definition| {
                let default = definition.node.default_value.as_ref()?;
                Some((definition.node.name.node.clone(), default.node.clone()))
            });
            let cost = visitor.cost(root(*ty), &selection_set.node);
            OperationCost { operation: name.cloned(), cost, defaults: defaults.collect() }
        });
        Self(costs.collect())
    }

    /// Returns the cost of an operation, given its variables and the lengths of lists. An unknown operation, which is
    /// refused when it is executed, costs nothing.
    pub(in crate::http::graphql) fn of(
        &self,
        operation: Option<&str>,
        variables: &Variables,
        lengths: &Lengths,
        limits: &Limits,
    ) -> Result<u64, DocumentError> {
        let chosen = |cost: &&OperationCost| operation.is_none() || cost.operation.as_deref() == operation;
        let Some(OperationCost { cost, defaults, .. }) = self.0.iter().find(chosen) else { return Ok(0) };
        cost.of(Parents::ROOT, &Given { variables, defaults, lengths, limits })
    }
}

impl Parents {
    const ROOT: Self = Self { number: 1, are_distinct: true };

    /// Returns the number of children, if each parent has this many.
    fn times(self, each: u64) -> u64 {
        self.number.saturating_mul(each)
    }

    /// Creates this number of objects, some of which may be the same. A single one is always distinct.
    fn new(number: u64) -> Self {
        Self { number, are_distinct: number <= 1 }
    }
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.known = self.known.saturating_add(other.known);
        self.varying.extend(other.varying);
    }

    fn of(&self, parents: Parents, given: &Given<'_>) -> Result<u64, DocumentError> {
        self.varying
            .iter()
            .try_fold(parents.times(self.known), |sum, part| Ok(sum.saturating_add(part.of(parents, given)?)))
    }
}

impl Varying {
    /// Returns the cost for all these parents.
    fn of(&self, parents: Parents, given: &Given<'_>) -> Result<u64, DocumentError> {
        let many = |each: u64| Parents::new(parents.times(each));
        let listed = |list, most: u64| {
            let length = given.lengths.of(list);
            let number = parents.times(length.longest.min(most));
            Parents::new(if parents.are_distinct { number.min(length.all) } else { number })
        };
        // The entries for all parents, and what each parent costs in addition to its entries.
        let (entries, extra) = match self.entries {
            Entries::Fixed(times) => (many(times), 0),
            Entries::Shared => (many(1), 0),
            // The entries of a page are distinct. Each is an object of its own, however few of its fields are selected.
            Entries::Page => {
                let length = self.page_length(given)?;
                (Parents { are_distinct: parents.number == 1, ..many(length) }, length)
            }
            Entries::PageOf(list) => (listed(list, self.page_length(given)?), 0),
            Entries::All(list) => (listed(list, u64::MAX), 0),
            Entries::Events(argument) => {
                let events = self.list_length(argument, given);
                Measure::Events.check(events, given.limits.ingest_events)?;
                (many(events), events)
            }
            Entries::Buckets => {
                let ms = self.range_ms(given);
                // The first and the last bucket may be shorter.
                let buckets = ms.div_ceil(interval_ms(self.word("interval", given))).saturating_add(1);
                // Each day is read, unless the history certainly has too many buckets and the resolver refuses it.
                let is_read = buckets <= BUCKETS_MAX + BUCKETS_MAX / 4;
                (many(buckets.min(BUCKETS_MAX)), if is_read { DAY_COST * (ms / DAY_MS) } else { 0 })
            }
            Entries::Days => (many((self.range_ms(given) / DAY_MS).saturating_add(1)), 0),
        };
        Ok(parents.times(extra).saturating_add(self.each.of(entries, given)?))
    }

    /// Returns the value of an argument, if it has one.
    fn value<'a>(&'a self, name: &str, given: &'a Given<'_>) -> Option<&'a ConstValue> {
        match &self.arguments.iter().find(|(found, _)| found == name)?.1 {
            Argument::Known(value) => Some(value),
            Argument::Variable(name) => given.variables.get(name).or_else(|| given.defaults.get(name)),
        }
    }

    /// Returns the maximum number of entries of the page.
    fn page_length(&self, given: &Given<'_>) -> Result<u64, DocumentError> {
        // Validation refuses other types, and the resolver negative numbers.
        let size = |name, measure: Measure| {
            let Some(ConstValue::Number(number)) = self.value(name, given) else { return Ok(None) };
            let size = number.as_u64();
            measure.check(size.unwrap_or_default(), PAGE_MAX)?;
            Ok(size)
        };
        let (first, last) = (size("first", Measure::First)?, size("last", Measure::Last)?);
        // The resolver refuses a request with both.
        Ok(first.max(last).unwrap_or(PAGE_DEFAULT.into()))
    }

    /// Returns the length of the time range from `start` to `end`, in milliseconds; 0 if an end is invalid, which the
    /// resolver reports.
    fn range_ms(&self, given: &Given<'_>) -> u64 {
        let instant = |name| self.word(name, given).parse::<Instant>().ok();
        let ms = instant("start").zip(instant("end")).map(|(start, end)| end.ms() - start.ms());
        ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default()
    }

    /// Returns the length of a list. A single value is a list of one.
    fn list_length(&self, name: &str, given: &Given<'_>) -> u64 {
        match self.value(name, given) {
            Some(ConstValue::List(items)) => items.len() as u64,
            Some(ConstValue::Null) | None => 0,
            Some(_) => 1,
        }
    }

    /// Returns the string or the enum value.
    fn word<'a>(&'a self, name: &str, given: &'a Given<'_>) -> &'a str {
        match self.value(name, given) {
            Some(ConstValue::String(text)) => text,
            Some(ConstValue::Enum(name)) => name,
            _ => "",
        }
    }
}

impl Argument {
    fn new(value: &Value) -> Self {
        match value {
            Value::Variable(variable) => Self::Variable(variable.clone()),
            // Only the length matters.
            Value::List(items) => Self::Known(ConstValue::List(vec![ConstValue::Null; items.len()])),
            value => Self::Known(value.clone().into_const().unwrap_or_default()),
        }
    }
}

/// Computes costs, those of each fragment once.
struct CostVisitor<'a> {
    document: &'a ExecutableDocument,
    model: &'a CostModel,
    fragments: HashMap<&'a Name, Cost>,
}

impl<'a> CostVisitor<'a> {
    fn cost(&mut self, type_name: &str, selection: &'a SelectionSet) -> Cost {
        let mut cost = Cost::default();
        for item in &selection.items {
            cost.add(match &item.node {
                Selection::Field(field) => self.field(type_name, &field.node),
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let type_name = condition.map_or(type_name, |condition| condition.node.on.node.as_str());
                    self.cost(type_name, &fragment.node.selection_set.node)
                }
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node),
            });
        }
        cost
    }

    fn fragment(&mut self, name: &'a Name) -> Cost {
        let Some(fragment) = self.document.fragments.get(name) else { return Cost::default() };
        if let Some(known) = self.fragments.get(name) {
            return known.clone();
        }
        let type_name = fragment.node.type_condition.node.on.node.as_str();
        let cost = self.cost(type_name, &fragment.node.selection_set.node);
        self.fragments.insert(name, cost.clone());
        cost
    }

    /// Returns the cost of a field: one, plus the cost of its selection for each entry. An entry without a selection
    /// costs one.
    fn field(&mut self, type_name: &str, field: &'a Field) -> Cost {
        let (returns, entries) = self.model.of(type_name, &field.name.node);
        let mut each = self.cost(returns, &field.selection_set.node);
        if field.selection_set.node.items.is_empty() && !matches!(entries, Entries::Fixed(1)) {
            each.known += 1;
        }
        let mut cost = Cost { known: 1, varying: Vec::new() };
        match entries {
            Entries::Fixed(1) => cost.add(each),
            // Whether parents are distinct does not matter for a constant cost.
            Entries::Shared if each.varying.is_empty() => cost.add(each),
            entries => {
                let arguments = field.arguments.iter();
                let arguments =
                    arguments.map(|(name, value)| (name.node.clone(), Argument::new(&value.node)));
                cost.varying.push(Arc::new(Varying { entries, arguments: arguments.collect(), each }));
            }
        }
        cost
    }
}

/// Returns the minimum length of a bucket in milliseconds, by the name of its interval.
fn interval_ms(name: &str) -> u64 {
    match name {
        "MINUTE" => MINUTE_MS,
        "FIVE_MINUTES" => 5 * MINUTE_MS,
        "FIFTEEN_MINUTES" => 15 * MINUTE_MS,
        "THIRTY_MINUTES" => 30 * MINUTE_MS,
        "HOUR" => 60 * MINUTE_MS,
        "WEEK" => 7 * DAY_MS,
        "MONTH" => 28 * DAY_MS,
        // A day. Validation refuses unknown intervals.
        _ => DAY_MS,
    }
}
