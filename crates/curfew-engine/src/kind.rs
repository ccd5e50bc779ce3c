//! The kinds of messages, and the catalog of all that a plan can contain.

use crate::{Day, PlanConfig, Template};

/// What a contact did after a message, and so the kind of its follow-up (SPEC section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FollowUpKind {
    /// Nothing.
    Cold,
    /// Clicked, but answered no health questions.
    ClickedNoAnswers,
    /// Answered the health questions, none with yes.
    AnsweredNoYes,
    /// Answered the health questions, at least one with yes.
    AnsweredWithYes,
}

impl FollowUpKind {
    /// All four, in the order of their numbers.
    pub const ALL: [Self; 4] =
        [Self::Cold, Self::ClickedNoAnswers, Self::AnsweredNoYes, Self::AnsweredWithYes];

    /// The text of `email_type`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Cold => "followup_1_cold",
            Self::ClickedNoAnswers => "followup_2_clicked_no_hq",
            Self::AnsweredNoYes => "followup_3_hq_no_yes",
            Self::AnsweredWithYes => "followup_4_hq_with_yes",
        }
    }
}

/// What sort of message a kind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KindClass {
    /// `birthday`.
    Birthday,
    /// `effective_date`.
    EffectiveDate,
    /// `aep`, the annual enrollment period.
    Aep,
    /// `post_window`: makes up for what a closed period held back.
    PostWindow,
    /// `followup_…`.
    FollowUp(FollowUpKind),
    /// `campaign_<type>`; the index of its instance in [`Catalog::campaigns`].
    Campaign(u16),
}

/// A campaign's instance with the settings in force for it (SPEC section 7): those of its type,
/// overridden by its own metadata.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Id of the instance.
    pub instance_id: i64,
    /// Name of its type as stored.
    pub campaign_type: String,
    /// Name of the instance.
    pub name: String,
    /// Name of its e-mail template.
    pub email_template: Option<String>,
    /// Name of its SMS template.
    pub sms_template: Option<String>,
    /// First day on which it takes part; `None`: no bound.
    pub active_start: Option<Day>,
    /// Last day on which it takes part, also a deadline; `None`: no bound.
    pub active_end: Option<Day>,
    /// Whether its type is active.
    pub active: bool,
    /// Whether exclusion windows apply.
    pub respects_windows: bool,
    /// Whether its messages are followed up.
    pub follow_ups: bool,
    /// Days from the ideal date to the trigger date; negative: after it.
    pub days_before_event: i32,
    /// Whether every valid contact is a target.
    pub targets_all: bool,
    /// Priority; a lower number is more important.
    pub priority: i64,
}

impl Campaign {
    /// Whether the instance takes part in a plan made for `today`.
    pub fn takes_part(&self, today: Day) -> bool {
        self.active
            && self.active_start.is_none_or(|start| start <= today)
            && self.active_end.is_none_or(|end| today <= end)
            && !(self.targets_all && self.active_start.is_none())
    }
}

/// A kind's place in the catalog. Orders by text of the kind, then by instance id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(pub(crate) u16);

/// All that is written for messages of a kind.
#[derive(Clone, Debug)]
pub struct Kind {
    /// What sort of message it is.
    pub class: KindClass,
    /// The text of `email_type`, in lower case.
    pub text: Box<str>,
    /// The campaign's instance, 0 for other kinds.
    pub instance_id: i64,
    /// Priority (of follow-ups: if the initial message has none).
    pub priority: i64,
    /// Name of the e-mail template.
    pub email_template: Option<Box<str>>,
    /// Name of the SMS template.
    pub sms_template: Option<Box<str>>,
}

/// The kinds of a run: the yearly ones, the follow-ups, and one for each campaign instance.
#[derive(Clone, Debug)]
pub struct Catalog {
    kinds: Vec<Kind>,
    campaigns: Vec<Campaign>,
    /// By index of the campaign.
    campaign_kinds: Vec<KindId>,
    yearly: [KindId; 4],
    follow_ups: [KindId; 4],
}

/// The kinds' texts of campaigns begin with this.
pub const CAMPAIGN_PREFIX: &str = "campaign_";
/// The kinds' texts of follow-ups begin with this.
pub const FOLLOWUP_PREFIX: &str = "followup_";

impl Catalog {
    /// Most campaign instances that one database may have.
    pub const CAMPAIGNS_MAX: usize = 60_000;

    /// The catalog of a configuration and the campaign instances of a database, in any order.
    ///
    /// # Panics
    /// With more than [`Catalog::CAMPAIGNS_MAX`] instances.
    pub fn new(config: &PlanConfig, mut campaigns: Vec<Campaign>) -> Self {
        assert!(campaigns.len() <= Self::CAMPAIGNS_MAX, "too many campaign instances");
        campaigns.sort_by_key(|campaign| campaign.instance_id);
        let index = |i: usize| u16::try_from(i).expect("at most CAMPAIGNS_MAX");

        let (priorities, templates) = (&config.priorities, &config.templates);
        let fixed = |class, text: &str, priority, template: &Template| Kind {
            class,
            text: text.into(),
            instance_id: 0,
            priority,
            email_template: Some(template.email.as_str().into()),
            sms_template: Some(template.sms.as_str().into()),
        };
        let follow_up = |kind: FollowUpKind, template| {
            fixed(KindClass::FollowUp(kind), kind.text(), priorities.followup, template)
        };
        let mut kinds = vec![
            fixed(KindClass::Birthday, "birthday", priorities.birthday, &templates.birthday),
            fixed(
                KindClass::EffectiveDate,
                "effective_date",
                priorities.effective_date,
                &templates.effective_date,
            ),
            fixed(KindClass::Aep, "aep", priorities.aep, &templates.aep),
            fixed(
                KindClass::PostWindow,
                "post_window",
                priorities.post_window,
                &templates.post_window,
            ),
            follow_up(FollowUpKind::Cold, &templates.followup_1_cold),
            follow_up(FollowUpKind::ClickedNoAnswers, &templates.followup_2_clicked_no_hq),
            follow_up(FollowUpKind::AnsweredNoYes, &templates.followup_3_hq_no_yes),
            follow_up(FollowUpKind::AnsweredWithYes, &templates.followup_4_hq_with_yes),
        ];
        kinds.extend(campaigns.iter().enumerate().map(|(i, campaign)| Kind {
            class: KindClass::Campaign(index(i)),
            text:
                format!("{CAMPAIGN_PREFIX}{}", campaign.campaign_type.to_ascii_lowercase()).into(),
            instance_id: campaign.instance_id,
            priority: campaign.priority,
            email_template: campaign.email_template.as_deref().map(Into::into),
            sms_template: campaign.sms_template.as_deref().map(Into::into),
        }));
        kinds.sort_by(|a, b| (&a.text, a.instance_id).cmp(&(&b.text, b.instance_id)));

        let place = |class| {
            KindId(index(kinds.iter().position(|kind| kind.class == class).expect("listed above")))
        };
        let campaign_kinds = {
            let mut places = vec![KindId(0); campaigns.len()];
            for (i, kind) in kinds.iter().enumerate() {
                if let KindClass::Campaign(campaign) = kind.class {
                    places[usize::from(campaign)] = KindId(index(i));
                }
            }
            places
        };
        Self {
            yearly: [
                KindClass::Birthday,
                KindClass::EffectiveDate,
                KindClass::Aep,
                KindClass::PostWindow,
            ]
            .map(place),
            follow_ups: FollowUpKind::ALL.map(|kind| place(KindClass::FollowUp(kind))),
            campaign_kinds,
            kinds,
            campaigns,
        }
    }

    /// A kind's entry.
    pub fn kind(&self, id: KindId) -> &Kind {
        &self.kinds[usize::from(id.0)]
    }

    /// All kinds, in the order of their ids.
    pub fn kinds(&self) -> impl ExactSizeIterator<Item = &Kind> {
        self.kinds.iter()
    }

    /// The campaign instances, by id.
    pub fn campaigns(&self) -> &[Campaign] {
        &self.campaigns
    }

    /// The index of the instance with this id in [`Catalog::campaigns`].
    pub fn campaign_index(&self, instance_id: i64) -> Option<u16> {
        let place = self.campaigns.binary_search_by_key(&instance_id, |c| c.instance_id).ok()?;
        u16::try_from(place).ok()
    }

    /// The kind of a class.
    pub fn id_of(&self, class: KindClass) -> KindId {
        match class {
            KindClass::Birthday => self.yearly[0],
            KindClass::EffectiveDate => self.yearly[1],
            KindClass::Aep => self.yearly[2],
            KindClass::PostWindow => self.yearly[3],
            KindClass::FollowUp(kind) => self.follow_ups[kind as usize],
            KindClass::Campaign(index) => self.campaign_kinds[usize::from(index)],
        }
    }

    /// The kind that a row of this `email_type` (in lower case) and instance belongs to.
    pub fn find(&self, text: &str, instance_id: Option<i64>) -> Option<KindId> {
        self.find_bytes(text.as_bytes(), instance_id)
    }

    /// Like [`Catalog::find`]; bytes that are no UTF-8 are of no kind.
    pub(crate) fn find_bytes(&self, text: &[u8], instance_id: Option<i64>) -> Option<KindId> {
        let class = match text {
            b"birthday" => KindClass::Birthday,
            b"effective_date" => KindClass::EffectiveDate,
            b"aep" => KindClass::Aep,
            b"post_window" => KindClass::PostWindow,
            _ if text.starts_with(FOLLOWUP_PREFIX.as_bytes()) => KindClass::FollowUp(
                FollowUpKind::ALL.into_iter().find(|kind| kind.text().as_bytes() == text)?,
            ),
            _ if text.starts_with(CAMPAIGN_PREFIX.as_bytes()) => {
                KindClass::Campaign(self.campaign_index(instance_id?)?)
            }
            _ => return None,
        };
        let id = self.id_of(class);
        (self.kind(id).text.as_bytes() == text).then_some(id)
    }
}
