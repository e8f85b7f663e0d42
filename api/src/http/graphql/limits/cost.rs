//! Query cost of the operations of a document. Computed when the document is parsed, except for the parts that depend
//! on variables and on the lengths of the floor plan's lists.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet};
use async_graphql::{Name, Value as ConstValue, Variables};
use async_graphql_value::Value;
use entity::Instant;

use super::prices::{Entries, Prices};
use super::{Measure, PAGE_DEFAULT, PAGE_MAX, Refusal, root};
use crate::floor_plan::{Lengths, List};
use crate::limits::Limits;

const BUCKETS_MAX: u64 = 10_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// Cost of a day of a history, in addition to its buckets. `bench/dearest` measures the memory for days of many spaces.
const DAY_COST: u64 = 2;

/// Costs of the operations of one document. Every field costs at least one, so a cheap operation has a short answer.
#[derive(Debug)]
pub(in crate::http::graphql) struct Bills(Vec<Bill>);

#[derive(Debug)]
struct Bill {
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

#[derive(Debug)]
struct Varying {
    count: Count,
    each: Cost,
}

/// Number of objects that a field returns, as a function of its arguments.
#[derive(Clone, Debug)]
enum Count {
    Fixed(u64),
    Shared,
    Page(PageLength),
    PageOf(List, PageLength),
    All(List),
    Events(Argument),
    Buckets(Stretch),
    Days(Stretch),
}

/// The arguments that set the length of a page.
#[derive(Clone, Debug)]
struct PageLength {
    first: Argument,
    last: Argument,
}

/// The arguments that set a time range.
#[derive(Clone, Debug)]
struct Stretch {
    start: Argument,
    end: Argument,
    interval: Argument,
}

/// An argument: its value, or the variable that holds it. Null if it is not given.
#[derive(Clone, Debug)]
enum Argument {
    Known(ConstValue),
    Variable(Name),
    /// The length of a list that contains variables.
    List(u64),
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

impl Bills {
    /// The document must have passed [`check_size`](super::check_size()).
    pub(in crate::http::graphql) fn new(document: &ExecutableDocument, prices: &Prices) -> Self {
        let mut clerk = Clerk { document, prices, fragments: HashMap::new() };
        let bills = document.operations.iter().map(|(name, operation)| {
            let OperationDefinition { ty, variable_definitions, selection_set, .. } = &operation.node;
            let defaults = variable_definitions.iter().filter_map(|definition| {
                let default = definition.node.default_value.as_ref()?;
                Some((definition.node.name.node.clone(), default.node.clone()))
            });
            let cost = clerk.cost(root(*ty), &selection_set.node);
            Bill { operation: name.cloned(), cost, defaults: defaults.collect() }
        });
        Self(bills.collect())
    }

    /// An unknown operation is refused when it is executed.
    pub(in crate::http::graphql) fn check(
        &self,
        operation: Option<&str>,
        variables: &Variables,
        lengths: &Lengths,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        Measure::Cost.check(self.cost(operation, variables, lengths, limits)?, limits.graphql_cost)
    }

    pub(in crate::http::graphql) fn cost(
        &self,
        operation: Option<&str>,
        variables: &Variables,
        lengths: &Lengths,
        limits: &Limits,
    ) -> Result<u64, Refusal> {
        let chosen = |bill: &&Bill| operation.is_none() || bill.operation.as_deref() == operation;
        let Some(Bill { cost, defaults, .. }) = self.0.iter().find(chosen) else { return Ok(0) };
        cost.of(Parents::ROOT, &Given { variables, defaults, lengths, limits })
    }
}

impl Parents {
    const ROOT: Self = Self { number: 1, are_distinct: true };

    /// Returns the number of children, if each parent has this many.
    fn times(self, each: u64) -> u64 {
        self.number.saturating_mul(each)
    }

    /// A single one is always distinct.
    fn new(number: u64, are_distinct: bool) -> Self {
        Self { number, are_distinct: are_distinct || number <= 1 }
    }
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.known = self.known.saturating_add(other.known);
        self.varying.extend(other.varying);
    }

    fn of(&self, parents: Parents, given: &Given<'_>) -> Result<u64, Refusal> {
        self.varying.iter().try_fold(parents.times(self.known), |sum, part| {
            let extra = parents.times(part.count.extra(given)?);
            let each = part.each.of(part.count.children(parents, given)?, given)?;
            Ok(sum.saturating_add(extra).saturating_add(each))
        })
    }
}

impl Count {
    fn children(&self, parents: Parents, given: &Given<'_>) -> Result<Parents, Refusal> {
        let many = |each: u64| Parents::new(parents.times(each), false);
        let listed = |list: &List, first: u64| {
            let length = given.lengths.of(*list);
            let number = parents.times(length.longest.min(first));
            Parents::new(if parents.are_distinct { number.min(length.all) } else { number }, false)
        };
        Ok(match self {
            Self::Fixed(times) => Parents::new(parents.times(*times), parents.are_distinct && *times == 1),
            Self::Shared => many(1),
            // The entries of a page are distinct.
            Self::Page(length) => Parents { are_distinct: parents.number == 1, ..many(length.with(given)?) },
            Self::PageOf(list, length) => listed(list, length.with(given)?),
            Self::All(list) => listed(list, u64::MAX),
            Self::Events(events) => {
                let events = events.length(given);
                Measure::Events.check(events, given.limits.ingest_events)?;
                many(events)
            }
            Self::Buckets(stretch) => many(stretch.buckets(given).min(BUCKETS_MAX)),
            Self::Days(stretch) => many((stretch.ms(given) / DAY_MS).saturating_add(1)),
        })
    }

    /// Returns the cost in addition to the children, for each parent.
    fn extra(&self, given: &Given<'_>) -> Result<u64, Refusal> {
        Ok(match self {
            Self::Events(events) => events.length(given),
            // Each entry is an object of its own, however few of its fields are selected.
            Self::Page(length) => length.with(given)?,
            // Each day is read, unless the history certainly has too many buckets and the resolver refuses it.
            Self::Buckets(stretch) if stretch.buckets(given) <= BUCKETS_MAX + BUCKETS_MAX / 4 => {
                DAY_COST * (stretch.ms(given) / DAY_MS)
            }
            _ => 0,
        })
    }
}

impl PageLength {
    fn with(&self, given: &Given<'_>) -> Result<u64, Refusal> {
        let first = self.first.page_size(Measure::First, given)?;
        let last = self.last.page_size(Measure::Last, given)?;
        // The resolver refuses a request with both.
        Ok(first.max(last).unwrap_or(PAGE_DEFAULT.into()))
    }
}

impl Stretch {
    /// Returns the maximum number of buckets, of which the first and the last may be shorter.
    fn buckets(&self, given: &Given<'_>) -> u64 {
        self.ms(given).div_ceil(interval_ms(self.interval.word(given))).saturating_add(1)
    }

    /// Returns its length in milliseconds; 0 if an end is invalid, which the resolver reports.
    fn ms(&self, given: &Given<'_>) -> u64 {
        let instant = |argument: &Argument| argument.word(given).parse::<Instant>().ok();
        let ms = instant(&self.start).zip(instant(&self.end)).map(|(start, end)| end.ms() - start.ms());
        ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default()
    }
}

impl Argument {
    fn of(field: &Field, name: &str) -> Self {
        match field.get_argument(name).map(|value| &value.node) {
            None => Self::Known(ConstValue::Null),
            Some(Value::Variable(variable)) => Self::Variable(variable.clone()),
            Some(Value::List(items)) => Self::List(items.len() as u64),
            Some(value) => Self::Known(value.clone().into_const().unwrap_or_default()),
        }
    }

    /// Returns its value; `None` if it is a variable without a value.
    fn value<'a>(&'a self, given: &'a Given<'_>) -> Option<&'a ConstValue> {
        match self {
            Self::Known(value) => Some(value),
            Self::Variable(name) => given.variables.get(name).or_else(|| given.defaults.get(name)),
            Self::List(_) => None,
        }
    }

    /// Returns the page size that this argument sets, if it is given. Validation refuses other types, and the resolver
    /// negative numbers.
    fn page_size(&self, measure: Measure, given: &Given<'_>) -> Result<Option<u64>, Refusal> {
        let Some(ConstValue::Number(number)) = self.value(given) else { return Ok(None) };
        let size = number.as_u64();
        size.map_or(Ok(()), |size| measure.check(size, PAGE_MAX))?;
        Ok(size)
    }

    /// A single value is a list of one.
    fn length(&self, given: &Given<'_>) -> u64 {
        match (self, self.value(given)) {
            (Self::List(length), _) => *length,
            (_, Some(ConstValue::List(items))) => items.len() as u64,
            (_, Some(ConstValue::Null) | None) => 0,
            (_, Some(_)) => 1,
        }
    }

    /// Returns the string or the enum value.
    fn word<'a>(&'a self, given: &'a Given<'_>) -> &'a str {
        match self.value(given) {
            Some(ConstValue::String(text)) => text,
            Some(ConstValue::Enum(name)) => name,
            _ => "",
        }
    }
}

/// Computes costs, those of each fragment once.
struct Clerk<'a> {
    document: &'a ExecutableDocument,
    prices: &'a Prices,
    fragments: HashMap<&'a Name, Cost>,
}

impl<'a> Clerk<'a> {
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
        let (returns, entries) = self.prices.of(type_name, &field.name.node);
        let mut each = self.cost(returns, &field.selection_set.node);
        let count = Count::new(entries, field);
        if field.selection_set.node.items.is_empty() && !matches!(entries, Entries::Fixed(1)) {
            each.known += 1;
        }
        let mut cost = Cost { known: 1, varying: Vec::new() };
        match count {
            Count::Fixed(1) => cost.add(each),
            // Whether parents are distinct does not matter for a constant cost.
            Count::Shared if each.varying.is_empty() => cost.add(each),
            count => cost.varying.push(Arc::new(Varying { count, each })),
        }
        cost
    }
}

impl Count {
    fn new(entries: Entries, field: &Field) -> Self {
        let argument = |name| Argument::of(field, name);
        let page = || PageLength { first: argument("first"), last: argument("last") };
        let stretch =
            || Stretch { start: argument("start"), end: argument("end"), interval: argument("interval") };
        match entries {
            Entries::Fixed(times) => Self::Fixed(times),
            Entries::Shared => Self::Shared,
            Entries::Page => Self::Page(page()),
            Entries::PageOf(list) => Self::PageOf(list, page()),
            Entries::All(list) => Self::All(list),
            Entries::Events => Self::Events(argument("events")),
            Entries::Buckets => Self::Buckets(stretch()),
            Entries::Days => Self::Days(stretch()),
        }
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
