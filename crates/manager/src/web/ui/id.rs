//! Ids of elements that stand for something with a name of its own. What the owner has touched stays as it is
//! while the page changes around it, so an id by position would put a choice onto another thing.

/// The name of something from outside, as a part of an id: a name always gives the same, and no other name
/// gives it.
pub fn part(name: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes()
        .map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!(":{byte:02x}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_disks_are_called_stays_readable() {
        assert_eq!(part("nvme-Samsung-SSD-980_S64A"), "nvme-Samsung-SSD-980_S64A");
        assert_eq!(part("sdc@12 \"é"), "sdc:4012:20:22:c3:a9");
    }

    proptest! {
        #[test]
        fn every_name_has_an_id_of_its_own_without_a_space_or_a_quote(one: String, other: String) {
            let is_plain = |id: &str| id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.:".contains(&it));
            prop_assert!(is_plain(&part(&one)));
            prop_assert_eq!(part(&one) == part(&other), one == other);
        }
    }
}
