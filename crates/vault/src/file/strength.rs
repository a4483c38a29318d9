//! How long a passphrase holds against somebody who has the file.
//!
//! zxcvbn estimates how many guesses a good guesser needs; each costs a run of scrypt, which is what makes the
//! difference between a website's password and this. The estimate says what is known to be guessed early, not
//! what can't be guessed: a line of a song scores well, and is in somebody's list.

use serde::Serialize;

use super::Passphrase;

/// A guess takes half a second of one core at 2^17, and a strong home computer has sixteen of them that get
/// enough memory (128 MiB a guess).
const GUESSES_PER_SECOND: f64 = 32.0;
/// What somebody can rent who means it.
const MANY: f64 = 1_000.0;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;
const YEAR: f64 = 365.25 * DAY;

/// What an own passphrase is worth, in words for the page and the command line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strength {
    /// In one word.
    pub verdict: Verdict,
    /// The guesses that it takes, as a power of ten.
    pub guesses_log10: f64,
    /// How long that takes on one strong computer, such as "about 3 hours".
    pub one_machine: String,
    /// And on a thousand of them.
    pub thousand_machines: String,
    /// What would make it better, in whole sentences.
    pub advice: Vec<String>,
}

/// Whether to keep a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// One machine finds it within a year.
    Weak,
    /// A thousand machines find it within a century.
    Fair,
    /// Nobody lives to see it found.
    Strong,
}

impl Strength {
    /// The estimate. `known` are words that a guesser tries first, such as the cluster's name. Only the first
    /// hundred characters count. The copies that zxcvbn makes while it works are not wiped.
    pub fn of(passphrase: &Passphrase, known: &[&str]) -> Self {
        let known: Vec<&str> = known.iter().copied().chain(["cairn"]).collect();
        let secret = passphrase.to_secret();
        let entropy = zxcvbn::zxcvbn(secret.expose(), &known);
        let feedback = entropy.feedback();
        let warning = feedback.and_then(zxcvbn::feedback::Feedback::warning).map(|it| it.to_string());
        let suggestions =
            feedback.into_iter().flat_map(zxcvbn::feedback::Feedback::suggestions).map(ToString::to_string);
        Self::from_guesses(entropy.guesses_log10(), warning.into_iter().chain(suggestions).collect())
    }

    fn from_guesses(guesses_log10: f64, advice: Vec<String>) -> Self {
        let one = 10_f64.powf(guesses_log10) / GUESSES_PER_SECOND;
        let thousand = one / MANY;
        let verdict = match () {
            () if one < YEAR => Verdict::Weak,
            () if thousand < 100.0 * YEAR => Verdict::Fair,
            () => Verdict::Strong,
        };
        Self {
            verdict,
            guesses_log10,
            one_machine: span(one),
            thousand_machines: span(thousand),
            advice: if verdict == Verdict::Strong { Vec::new() } else { advice },
        }
    }

    /// One sentence for the owner.
    pub fn sentence(&self) -> String {
        let Self { verdict, one_machine, thousand_machines, .. } = self;
        let verdict = match verdict {
            Verdict::Weak => "weak",
            Verdict::Fair => "fair",
            Verdict::Strong => "strong",
        };
        match one_machine == thousand_machines {
            true => format!(
                "This passphrase is {verdict}: to guess it whoever has the file needs {one_machine}, on one strong computer or a thousand."
            ),
            false => format!(
                "This passphrase is {verdict}: to guess it whoever has the file needs {one_machine} on one strong computer, and {thousand_machines} on a thousand."
            ),
        }
    }
}

/// A time as a person says it.
fn span(seconds: f64) -> String {
    let about = |count: f64, unit: &str| match count.round() {
        one if one <= 1.0 => format!("about one {unit}"),
        many => format!("about {many:.0} {unit}s"),
    };
    match seconds {
        it if it < 1.0 => "less than a second".to_owned(),
        it if it < 100.0 => about(it, "second"),
        it if it < 100.0 * MINUTE => about(it / MINUTE, "minute"),
        it if it < 48.0 * HOUR => about(it / HOUR, "hour"),
        it if it < YEAR => about(it / DAY, "day"),
        it if it < 100.0 * YEAR => about(it / YEAR, "year"),
        _ => "longer than you live".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Strength {
        Strength::of(&Passphrase::new(text).unwrap(), &["home"])
    }

    #[test]
    fn times_are_said_as_a_person_says_them() {
        for (seconds, expected) in [
            (0.1, "less than a second"),
            (1.2, "about one second"),
            (59.0, "about 59 seconds"),
            (10_800.0, "about 3 hours"),
            (DAY, "about 24 hours"),
            (3.0 * DAY, "about 3 days"),
            (YEAR, "about one year"),
            (99.0 * YEAR, "about 99 years"),
            (1e300, "longer than you live"),
            (f64::INFINITY, "longer than you live"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn what_people_choose_is_weak_and_says_why() {
        for text in
            ["hunter2", "password123", "correct horse", "home", "cairn home", "qwertzuiop", "20.11.1999"]
        {
            let strength = of(text);
            assert_eq!(strength.verdict, Verdict::Weak, "{text}: {strength:?}");
        }
        let common = of("password123");
        assert!(common.advice.iter().any(|it| it.contains("common")), "{common:?}");
        assert!(common.sentence().contains("is weak"), "{}", common.sentence());
    }

    #[test]
    fn the_clusters_name_is_guessed_first() {
        let own = Passphrase::new("grandmothers-house").unwrap();
        let (known, unknown) = (Strength::of(&own, &["grandmothers-house"]), Strength::of(&own, &[]));
        assert!(known.guesses_log10 < unknown.guesses_log10, "{known:?} {unknown:?}");
    }

    #[test]
    fn a_generated_passphrase_is_strong() {
        for _ in 0..20 {
            let passphrase = Passphrase::generate().unwrap();
            let strength = Strength::of(&passphrase, &["home"]);
            assert_eq!(strength.verdict, Verdict::Strong, "{strength:?}");
            assert!(strength.advice.is_empty());
        }
    }

    #[test]
    fn nothing_of_the_passphrase_is_in_the_estimate() {
        let shown = serde_json::to_string(&of("zyxgrumblefoo")).unwrap();
        assert!(!shown.contains("grumble"), "{shown}");
    }

    #[test]
    fn more_guesses_never_take_less_time() {
        let mut before = Verdict::Weak;
        for tenth in 0..400 {
            let strength = Strength::from_guesses(f64::from(tenth) / 10.0, Vec::new());
            assert!(before <= strength.verdict);
            before = strength.verdict;
        }
        assert_eq!(before, Verdict::Strong);
    }
}
