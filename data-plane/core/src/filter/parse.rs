//! Reads filters from JSON, in one pass that stops at the first fault.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Comparison, Filter, FilterFault, InvalidFilter, Logic,
    number::{Number, Relation},
    tree::{Junction, Leaf, Node, Test},
    word::Word,
};
use crate::frame::json;

pub(super) fn parse(text: &str) -> Result<Node, InvalidFilter> {
    let mut place = Place { path: Vec::new(), nodes: 0, fault: FilterFault::NotAnObject };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let root = OneNode(&mut place).deserialize(&mut deserializer);
    root.and_then(|root| deserializer.end().map(|()| root)).map_err(|error| {
        let fault = if error.is_data() { place.fault } else { FilterFault::NotJson };
        InvalidFilter { path: place.path, fault }
    })
}

/// Where the reader is in the filter.
struct Place {
    path: Vec<usize>,
    /// Nodes so far.
    nodes: usize,
    /// What is wrong if the reader can't go on from here.
    fault: FilterFault,
}

impl Place {
    /// Ends the reading. Only the place knows why: errors of serde are texts.
    fn refuse<E: Error>(&mut self, fault: FilterFault) -> E {
        self.fault = fault;
        E::custom("refused")
    }
}

/// The members of a node that mean something.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Op,
    Nodes,
    Key,
    Cmp,
    Val,
    Vals,
    #[serde(other)]
    Other,
}

/// The members of a node; one that is `null` counts as absent.
#[derive(Default)]
struct Members<'a> {
    op: Option<&'a RawValue>,
    nodes: Option<Vec<Node>>,
    key: Option<&'a RawValue>,
    cmp: Option<&'a RawValue>,
    val: Option<&'a RawValue>,
    vals: Option<&'a RawValue>,
}

struct OneNode<'p>(&'p mut Place);

impl<'de> DeserializeSeed<'de> for OneNode<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.0.nodes += 1;
        if self.0.nodes > Filter::NODES_MAX {
            return Err(self.0.refuse(FilterFault::TooManyNodes));
        }
        if self.0.path.len() == Filter::DEPTH_MAX {
            return Err(self.0.refuse(FilterFault::TooDeep));
        }
        self.0.fault = FilterFault::NotAnObject;
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneNode<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key()? {
            match name {
                Name::Op => members.op = map.next_value()?,
                Name::Nodes => members.nodes = map.next_value_seed(Children(&mut *self.0))?,
                Name::Key => members.key = map.next_value()?,
                Name::Cmp => members.cmp = map.next_value()?,
                Name::Val => members.val = map.next_value()?,
                Name::Vals => members.vals = map.next_value()?,
                Name::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        members.node().map_err(|fault| self.0.refuse(fault))
    }
}

struct Children<'p>(&'p mut Place);

impl<'de> DeserializeSeed<'de> for Children<'_> {
    type Value = Option<Vec<Node>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.fault = FilterFault::NodesNotAnArray;
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Children<'_> {
    type Value = Option<Vec<Node>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut nodes = Vec::new();
        self.0.path.push(0);
        while let Some(node) = array.next_element_seed(OneNode(&mut *self.0))? {
            nodes.push(node);
            if let Some(child) = self.0.path.last_mut() {
                *child = nodes.len();
            }
        }
        self.0.path.pop();
        Ok(Some(nodes))
    }
}

impl Members<'_> {
    fn node(self) -> Result<Node, FilterFault> {
        let Some(op) = self.op else {
            return self.leaf();
        };
        if [self.key, self.cmp, self.val, self.vals].iter().any(Option::is_some) {
            return Err(FilterFault::LeafInBranch);
        }
        let op = json::text(op).ok_or(FilterFault::OpNotAString)?;
        let logic =
            Logic::named(&op).ok_or_else(|| FilterFault::UnknownLogic { named: beginning(&op) })?;
        branch(logic, self.nodes.unwrap_or_default())
    }

    fn leaf(self) -> Result<Node, FilterFault> {
        if self.nodes.is_some() {
            return Err(FilterFault::BranchInLeaf);
        }
        let key = self.key.ok_or(FilterFault::NoKey)?;
        let key = json::text(key).ok_or(FilterFault::KeyNotAString)?;
        if key.is_empty() {
            return Err(FilterFault::NoKey);
        }
        if key.len() > Filter::KEY_BYTES_MAX {
            return Err(FilterFault::LongKey { bytes: key.len() });
        }
        let cmp = self.cmp.ok_or(FilterFault::NoComparison)?;
        let cmp = json::text(cmp).ok_or(FilterFault::CmpNotAString)?;
        let comparison = Comparison::named(&cmp)
            .ok_or_else(|| FilterFault::UnknownComparison { named: beginning(&cmp) })?;
        let operands = Operands {
            comparison,
            val: self.val.map(value).transpose()?,
            vals: self.vals.map(values).transpose()?.unwrap_or_default(),
        };
        let negated = comparison.is_negative();
        Ok(Node::Leaf(Leaf { test: operands.test()?, key: Word::new(key.into()), negated }))
    }
}

fn branch(logic: Logic, mut nodes: Vec<Node>) -> Result<Node, FilterFault> {
    match (logic, nodes.len()) {
        (Logic::Not, 1) => Ok(nodes.remove(0).negated()),
        (Logic::Not, children) => Err(FilterFault::NotOneChild { children }),
        (Logic::And | Logic::Or, 0) => Err(FilterFault::NoChildren(logic)),
        (Logic::And, _) => Ok(Node::branch(Junction::All, nodes)),
        (Logic::Or, _) => Ok(Node::branch(Junction::Any, nodes)),
    }
}

/// A comparison and what it compares with.
struct Operands {
    comparison: Comparison,
    val: Option<Arc<str>>,
    vals: Vec<Arc<str>>,
}

impl Operands {
    fn test(self) -> Result<Test, FilterFault> {
        Ok(match self.comparison {
            Comparison::Ex | Comparison::Nex => Test::Present,
            Comparison::Eq | Comparison::Neq => Test::Is(Word::new(self.val()?)),
            Comparison::In | Comparison::Nin => Test::one_of(self.vals()?),
            Comparison::Sw => Test::StartsWith(self.val()?),
            Comparison::Ew => Test::EndsWith(self.val()?),
            Comparison::Ct => Test::Contains(self.val()?),
            Comparison::Gt => Test::Relates(Relation::Above, self.number()?),
            Comparison::Gte => Test::Relates(Relation::AtLeast, self.number()?),
            Comparison::Lt => Test::Relates(Relation::Below, self.number()?),
            Comparison::Lte => Test::Relates(Relation::AtMost, self.number()?),
        })
    }

    fn val(self) -> Result<Arc<str>, FilterFault> {
        let val = self.val.filter(|val| !val.is_empty());
        val.ok_or(FilterFault::NoValue(self.comparison))
    }

    fn number(self) -> Result<Number, FilterFault> {
        self.val().map(|val| Number::parse(&val))
    }

    fn vals(self) -> Result<Vec<Arc<str>>, FilterFault> {
        if self.vals.is_empty() {
            Err(FilterFault::NoValues(self.comparison))
        } else {
            Ok(self.vals)
        }
    }
}

fn values(array: &RawValue) -> Result<Vec<Arc<str>>, FilterFault> {
    let array: Vec<&RawValue> =
        serde_json::from_str(array.get()).map_err(|_| FilterFault::ValsNotAnArray)?;
    if array.len() > Filter::VALUES_MAX {
        return Err(FilterFault::TooManyValues { values: array.len() });
    }
    array.into_iter().map(value).collect()
}

/// The text of a string; the JSON of a number or a boolean, as the client has written it.
fn value(json: &RawValue) -> Result<Arc<str>, FilterFault> {
    let text = match json.get().as_bytes() {
        [b't' | b'f' | b'-' | b'0'..=b'9', ..] => Cow::Borrowed(json.get()),
        _ => json::text(json).ok_or(FilterFault::ValueNotAScalar)?,
    };
    if text.len() > Filter::VALUE_BYTES_MAX {
        return Err(FilterFault::LongValue { bytes: text.len() });
    }
    Ok(text.into())
}

/// As much of a name as an error repeats.
fn beginning(named: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    named.chars().take(CHARACTERS_MAX).collect()
}
