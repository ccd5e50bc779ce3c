//! Merging indexes, views, triggers, counters and settings.

use std::collections::BTreeMap;

use super::{ColumnConflict, MergeConflict, MergeConflictKind, Merging, Side, Winner};
use crate::diff::Sink;
use crate::error::Result;
use crate::operation::{
    ObjectKind, Operation, SchemaObject, SequenceChange, SettingChange, TableEdit,
};
use crate::sqltext::same_name;
use crate::value::Value;

/// An object before and after on one side. Both are the same where it only has to step aside while
/// its table is defined anew.
#[derive(Default)]
struct Net<'d> {
    old: Option<&'d SchemaObject>,
    new: Option<&'d SchemaObject>,
}

impl Net<'_> {
    fn is_changed(&self) -> bool {
        self.old != self.new
    }
}

fn net<'d>(side: &'d Side<'_>) -> BTreeMap<String, Net<'d>> {
    let mut objects: BTreeMap<String, Net<'d>> = BTreeMap::new();
    for object in &side.drops {
        objects.entry(object.name.to_ascii_lowercase()).or_default().old = Some(object);
    }
    for object in &side.creates {
        objects.entry(object.name.to_ascii_lowercase()).or_default().new = Some(object);
    }
    objects
}

/// What is dropped first and created last in the merged diff.
pub(super) struct MergedObjects {
    pub drops: Vec<SchemaObject>,
    pub creates: Vec<SchemaObject>,
    /// Triggers that stay as they are although their tables' rows change.
    pub triggers: Vec<SchemaObject>,
}

impl MergedObjects {
    pub(super) fn of(ours: &Side<'_>, theirs: &Side<'_>, merging: &mut Merging) -> Self {
        let mut merged = Self { drops: Vec::new(), creates: Vec::new(), triggers: Vec::new() };
        let (our_net, their_net) = (net(ours), net(theirs));
        let goes = |table: &str| theirs.replaces(table) && !ours.replaces(table);
        for (name, their) in &their_net {
            let our = our_net.get(name).filter(|our| our.is_changed());
            let Some(our) = our else {
                merged.drops.extend(their.old.cloned());
                merged.creates.extend(their.new.cloned());
                continue;
            };
            let steps_aside = our.new.is_some_and(|object| goes(&object.table));
            let winner = if their.is_changed() && their.new != our.new {
                merging.conflict(object_conflict(their, our))
            } else {
                Winner::Ours
            };
            match winner {
                Winner::Theirs => {
                    merged.drops.extend(our.new.cloned());
                    merged.creates.extend(their.new.cloned());
                }
                Winner::Ours if steps_aside => {
                    merged.drops.extend(our.new.cloned());
                    merged.creates.extend(our.new.cloned());
                }
                Winner::Ours => {}
            }
        }
        for (name, our) in &our_net {
            let Some(object) = our.new.filter(|_| our.is_changed()) else { continue };
            if !their_net.contains_key(name) && goes(&object.table) {
                merged.drops.push(object.clone());
                if !theirs.drops_for_good(&object.table) {
                    merged.creates.push(object.clone());
                }
            }
        }
        // Their order within a kind, which decides which trigger fires first; ours come after.
        let place = |list: &[SchemaObject], object: &SchemaObject| {
            list.iter().position(|other| other.name == object.name).unwrap_or(usize::MAX)
        };
        merged.drops.sort_by_key(|object| {
            let kind = match object.kind {
                ObjectKind::Trigger => 0,
                ObjectKind::View => 1,
                ObjectKind::Index => 2,
            };
            (kind, place(&theirs.drops, object))
        });
        merged.creates.sort_by_key(|object| (object.kind, place(&theirs.creates, object)));
        let kept = theirs.sections.iter().flat_map(|section| &section.change.triggers);
        let kept = kept.filter(|trigger| {
            our_net.get(&trigger.name.to_ascii_lowercase()).is_none_or(|our| !our.is_changed())
        });
        let new = our_net
            .values()
            .filter(|our| our.is_changed())
            .filter_map(|our| our.new)
            .filter(|object| object.kind == ObjectKind::Trigger);
        merged.triggers = kept.chain(new).cloned().collect();
        let drops = &merged.drops;
        merged
            .triggers
            .retain(|trigger| !drops.iter().any(|drop| same_name(&drop.name, &trigger.name)));
        merged
    }
}

impl Side<'_> {
    /// Whether a table of the base does not survive with its indexes and triggers.
    fn replaces(&self, table: &str) -> bool {
        self.sections.iter().any(|section| match &section.change.edit {
            TableEdit::Drop { .. } => same_name(&section.change.name, table),
            TableEdit::Rebuild { old_name, .. } => same_name(old_name, table),
            _ => false,
        })
    }

    /// The name in the base of a table that is called `name` on this side.
    fn name_before<'n>(&'n self, name: &'n str) -> &'n str {
        self.renamed().find(|(_, to)| same_name(to, name)).map_or(name, |(from, _)| from)
    }

    /// What this side calls a table of the base.
    fn name_after<'n>(&'n self, name: &'n str) -> &'n str {
        self.renamed().find(|(from, _)| same_name(from, name)).map_or(name, |(_, to)| to)
    }

    fn renamed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sections.iter().filter_map(|section| match &section.change.edit {
            TableEdit::Rebuild { old_name, .. } if !same_name(old_name, &section.change.name) => {
                Some((old_name.as_str(), section.change.name.as_str()))
            }
            _ => None,
        })
    }

    fn drops_for_good(&self, table: &str) -> bool {
        let named = || self.sections.iter().filter(|s| same_name(&s.change.name, table));
        named().any(|section| matches!(section.change.edit, TableEdit::Drop { .. }))
            && !named().any(|section| matches!(section.change.edit, TableEdit::Create { .. }))
    }
}

fn object_conflict(their: &Net<'_>, our: &Net<'_>) -> MergeConflict {
    let sql = |object: Option<&SchemaObject>| object.map(|object| Value::text(&object.sql));
    let named = their.old.or(their.new).or(our.new);
    MergeConflict {
        table: named.map(|object| object.name.clone()).unwrap_or_default(),
        key: None,
        kind: MergeConflictKind::Object,
        columns: vec![ColumnConflict {
            column: "sql".to_owned(),
            base: sql(their.old.or(our.old)),
            ours: sql(our.new),
            theirs: sql(their.new),
        }],
    }
}

/// The counters of AUTOINCREMENT, of which the larger holds, and the settings.
pub(super) fn merge_counters(
    ours: &Side<'_>,
    theirs: &Side<'_>,
    merging: &mut Merging,
) -> Result<()> {
    for their in &theirs.sequences {
        let base_name = theirs.name_before(&their.table);
        let our_name = ours.name_after(base_name);
        // A counter under a former name goes with the table that had it.
        let is_former = theirs.renamed().any(|(from, _)| same_name(from, &their.table));
        if ours.drops_for_good(base_name) || (is_former && their.new.is_none()) {
            continue;
        }
        let is_renamed = !same_name(base_name, &their.table);
        let table = if is_renamed { their.table.clone() } else { our_name.to_owned() };
        let our = ours.sequences.iter().find(|our| same_name(&our.table, our_name));
        let change = match our {
            None => SequenceChange { table, ..their.clone() },
            Some(our) => SequenceChange {
                table,
                old: our.new.clone(),
                new: larger(our.new.as_ref(), their.new.as_ref()),
            },
        };
        merging.writer.operation(Operation::Sequence(change))?;
    }
    for their in &theirs.settings {
        let our = ours.settings.iter().find(|our| our.setting == their.setting);
        let change = match our {
            None => *their,
            Some(our) if our.new == their.new => continue,
            Some(our) => {
                let number = |number: i32| Some(Value::Integer(number.into()));
                let winner = merging.conflict(MergeConflict {
                    table: their.setting.pragma().to_owned(),
                    key: None,
                    kind: MergeConflictKind::Setting,
                    columns: vec![ColumnConflict {
                        column: "value".to_owned(),
                        base: number(their.old),
                        ours: number(our.new),
                        theirs: number(their.new),
                    }],
                });
                if winner == Winner::Ours {
                    continue;
                }
                SettingChange { setting: their.setting, old: our.new, new: their.new }
            }
        };
        merging.writer.operation(Operation::Setting(change))?;
    }
    Ok(())
}

fn larger(ours: Option<&Value>, theirs: Option<&Value>) -> Option<Value> {
    match (ours, theirs) {
        (Some(Value::Integer(ours)), Some(Value::Integer(theirs))) => {
            Some(Value::Integer(*ours.max(theirs)))
        }
        (ours, theirs) => ours.or(theirs).cloned(),
    }
}
