//! The tables of keys in `docs/configure.md`.

use super::{
    CampaignInstance, CampaignType, Config,
    keys::{CAMPAIGN_INSTANCE, CAMPAIGN_TYPE, CONFIG, Key},
};

/// Every key of the configuration in Markdown: its meaning, unit, what is allowed, its default and
/// a value that is refused.
pub fn key_tables() -> String {
    let mut page = String::new();
    for (title, about, section) in SECTIONS {
        let keys = CONFIG
            .iter()
            .filter(|key| key.path.split_once('.').map_or("", |(section, _)| section) == *section);
        heading(&mut page, title, about);
        table(&mut page, "", keys, &Config::default());
    }
    heading(
        &mut page,
        "`state_rules`",
        "Exclusion rules by state, in the language of [rules.md](rules.md). An entry replaces the \
         default entry of its state; states that are not named keep theirs.",
    );
    page.push_str(HEAD);
    page.push_str(
        "| `state_rules.STATE` | What is closed for people of this state: a rule, or a list of \
         rules; `[]` is none. | | the code of a state or territory in two letters; a rule such as \
         `birthday -30..+60` | the table in [rules.md](rules.md) | `CA: birthday 30..60` |\n",
    );
    heading(
        &mut page,
        "`campaign_types`",
        "Campaign types by name (1 to 100 characters). Each is created or updated in the database at \
         the start of a run; types that exist only in the database stay as they are. What an entry \
         leaves out has its default, also where the database has something else.",
    );
    table(&mut page, "campaign_types.NAME.", CAMPAIGN_TYPE, &CampaignType::default());
    heading(
        &mut page,
        "`campaign_instances`",
        "A list of campaign instances, created or updated likewise. Type and name together tell \
         them apart.",
    );
    table(&mut page, "campaign_instances[].", CAMPAIGN_INSTANCE, &CampaignInstance::default());
    page
}

/// Heading, text, and the name of the section; "" holds the keys at the top.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("General", "At the top of the file, without indentation.", ""),
    ("`timing_constants`", "When messages go out.", "timing_constants"),
    ("`frequency_limits`", "How many messages a contact gets.", "frequency_limits"),
    ("`load_balancing`", "How messages are spread over the days.", "load_balancing"),
    ("`aep_config`", "The annual enrollment period.", "aep_config"),
    (
        "`priorities`",
        "Which message gives way when a contact would get too many, and which is moved from a full \
         day.",
        "priorities",
    ),
    ("`templates`", "Written to `email_template` and `sms_template`.", "templates"),
    ("`backup`", "Backups of the database.", "backup"),
];

const HEAD: &str = "| key | meaning | unit | allowed | default | refused, for example |
| --- | --- | --- | --- | --- | --- |
";

fn heading(page: &mut String, title: &str, about: &str) {
    if !page.is_empty() {
        page.push('\n');
    }
    for part in ["### ", title, "\n\n", about, "\n\n"] {
        page.push_str(part);
    }
}

fn table<'k, T: 'static>(
    page: &mut String,
    above: &str,
    keys: impl IntoIterator<Item = &'k Key<T>>,
    defaults: &T,
) {
    page.push_str(HEAD);
    for key in keys {
        let default = match ((key.get)(defaults).to_string(), key.required) {
            (_, true) => "must be given".to_owned(),
            (value, _) if value == "null" => "none".to_owned(),
            (value, _) => format!("`{value}`"),
        };
        let name = key.path.rsplit('.').next().unwrap_or_default();
        let row = [
            &format!("`{above}{}`", key.path),
            key.about,
            key.unit,
            &key.kind.expected(),
            &default,
            &format!("`{name}: {}`", key.kind.refused()),
        ];
        page.push_str(&format!("| {} |", row.join(" | ")).replace("|  |", "| |"));
        page.push('\n');
    }
}
