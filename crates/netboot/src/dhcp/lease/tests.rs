use super::*;
use proptest::prelude::*;

const LEASE: Duration = Duration::from_secs(600);
const CARD: Mac = Mac([2, 0, 0, 0, 0, 7]);

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn table(size: u8) -> Leases {
    Leases::new(address(100), address(99 + size))
}

fn who(key: &[u8]) -> Holder {
    Holder { key: key.to_vec(), reserved: None }
}

fn offer(leases: &mut Leases, key: &[u8], now: Duration) -> Option<Ipv4Addr> {
    leases.offer(&who(key), None, now).map(|offer| offer.address)
}

fn lend(leases: &mut Leases, key: &[u8], now: Duration) -> Ipv4Addr {
    let given = offer(leases, key, now).unwrap();
    assert!(leases.confirm(&who(key), given, Claim::Chosen, now, now + LEASE));
    given
}

/// One address of the pool and one outside are reserved, the second for [`CARD`].
fn with_reservations() -> Leases {
    let mut cable = OwnCable::slash24(address(1));
    (cable.first, cable.last) = (address(100), address(104));
    cable.reservations = vec![
        Reservation { mac: Mac([2, 0, 0, 0, 0, 6]), address: address(102) },
        Reservation { mac: CARD, address: address(50) },
    ];
    cable.check().unwrap();
    Leases::of(&cable)
}

#[test]
fn an_emptied_table_lends_a_client_what_it_had_and_another_client_something_else() {
    let lend = |key: &[u8]| offer(&mut table(100), key, Duration::ZERO);
    assert_eq!(lend(b"one"), lend(b"one"));
    assert_ne!(lend(b"one"), lend(b"other"));
}

#[test]
fn a_client_gets_the_same_address_again_even_after_its_lease_ran_out() {
    let mut leases = table(5);
    let first = lend(&mut leases, b"a", Duration::ZERO);
    offer(&mut leases, b"b", Duration::ZERO);
    assert_eq!(offer(&mut leases, b"a", LEASE * 9), Some(first));
}

#[test]
fn a_full_pool_offers_nothing_until_the_oldest_lease_has_expired() {
    let mut leases = table(2);
    let [_, sooner] = [(b"a", 100), (b"b", 50)].map(|(key, seconds)| {
        let given = offer(&mut leases, key, Duration::ZERO).unwrap();
        let until = Duration::from_secs(seconds);
        assert!(leases.confirm(&who(key), given, Claim::Chosen, Duration::ZERO, until));
        given
    });
    assert_eq!(offer(&mut leases, b"c", Duration::from_secs(49)), None);
    assert_eq!(leases.taken(Duration::from_secs(49)), (2, 0));
    assert_eq!(offer(&mut leases, b"c", Duration::from_secs(200)), Some(sooner));
}

#[test]
fn an_offer_that_nobody_takes_never_keeps_a_client_from_its_address() {
    let mut leases = table(3);
    lend(&mut leases, b"a", Duration::ZERO);
    let second = Duration::from_secs(1);
    let honest = offer(&mut leases, b"honest", second).unwrap();
    for forged in 0..1000_u32 {
        assert!(offer(&mut leases, &forged.to_be_bytes(), second).is_some());
    }
    assert!(
        leases.confirm(&who(b"honest"), honest, Claim::Chosen, second, LEASE),
        "it was offered, so it is lent"
    );
    assert!(offer(&mut leases, b"late", second).is_some(), "from what is only offered");
    assert_eq!(leases.taken(second), (2, 0), "and no lease was taken away");
}

#[test]
fn a_remembered_address_is_not_taken_from_who_was_offered_it() {
    let mut leases = table(1);
    let given = offer(&mut leases, b"a", Duration::ZERO).unwrap();
    assert!(!leases.confirm(&who(b"b"), given, Claim::Remembered, Duration::ZERO, LEASE));
    assert!(leases.confirm(&who(b"a"), given, Claim::Chosen, Duration::ZERO, LEASE));
    assert!(!leases.confirm(&who(b"b"), given, Claim::Chosen, Duration::ZERO, LEASE), "it is lent now");
}

#[test]
fn an_address_is_checked_before_its_first_offer_and_not_for_whoever_has_it() {
    let mut leases = table(1);
    let mut check = |key: &[u8], seconds| {
        let now = Duration::from_secs(seconds);
        let offer = leases.offer(&who(key), None, now).unwrap();
        leases.unanswered(offer.address, now);
        offer.check
    };
    assert!(check(b"a", 0));
    assert!(!check(b"a", 1) && !check(b"b", 2), "nobody answered a moment ago");
    assert!(check(b"b", 90));
    let given = lend(&mut leases, b"b", Duration::from_secs(91));
    assert_eq!(
        leases.offer(&who(b"b"), None, Duration::from_secs(300)),
        Some(Offer { address: given, check: false })
    );
}

#[test]
fn an_address_that_answers_or_is_declined_is_nobodys_for_a_while() {
    for by_arp in [false, true] {
        let mut leases = table(1);
        let given = offer(&mut leases, b"a", Duration::ZERO).unwrap();
        match by_arp {
            true => leases.in_use(given, Duration::ZERO),
            false => assert!(leases.decline(&who(b"a"), given, Duration::ZERO)),
        }
        assert_eq!(offer(&mut leases, b"b", Duration::ZERO), None);
        assert_eq!(leases.taken(Duration::ZERO), (0, 1));
        assert_eq!(offer(&mut leases, b"b", DECLINE_HOLD), Some(given));
    }
}

#[test]
fn clients_words_alone_set_no_more_than_half_of_the_pool_aside() {
    let mut leases = table(10);
    for forged in 0..100_u8 {
        let given = offer(&mut leases, &[forged], Duration::ZERO).unwrap();
        leases.decline(&who(&[forged]), given, Duration::ZERO);
    }
    assert_eq!(leases.taken(Duration::ZERO), (0, 5));
}

#[test]
fn somebody_elses_address_is_not_confirmed_declined_or_released() {
    let (mut leases, now) = (table(2), Duration::ZERO);
    let given = lend(&mut leases, b"a", now);
    assert!(!leases.confirm(&who(b"b"), given, Claim::Chosen, now, LEASE));
    assert!(!leases.decline(&who(b"b"), given, now));
    leases.release(&who(b"b"), given, now);
    leases.release(&who(b"a"), address(7), now);
    assert_eq!(leases.in_hand(now), 1);
    assert!(!leases.confirm(&who(b"b"), address(7), Claim::Chosen, now, LEASE), "outside the pool");
    leases.release(&who(b"a"), given, now);
    assert_eq!(leases.in_hand(now), 0);
}

#[test]
fn a_reserved_address_goes_to_its_card_whatever_asks_there_and_to_nobody_else() {
    let (mut leases, now) = (with_reservations(), Duration::ZERO);
    assert_eq!(leases.size(), 4);
    for program in [b"firmware".as_slice(), b"system"] {
        let card = leases.holder(CARD, program.to_vec());
        assert_eq!(leases.offer(&card, Some(address(101)), now).map(|it| it.address), Some(address(50)));
        assert!(!leases.confirm(&card, address(101), Claim::Remembered, now, LEASE), "it has its own");
        assert!(leases.confirm(&card, address(50), Claim::Chosen, now, LEASE));
    }
    let forger = leases.holder(Mac([2, 0, 0, 0, 0, 9]), [1].into_iter().chain(CARD.0).collect());
    assert_ne!(leases.offer(&forger, Some(address(50)), now).map(|it| it.address), Some(address(50)));
    assert!(!leases.confirm(&forger, address(50), Claim::Chosen, now, LEASE));
    for key in 0..4_u8 {
        let given = offer(&mut leases, &[key], now);
        assert!(given.is_none_or(|given| given != address(102) && given != address(50)), "{given:?}");
    }
}

/// Its reserved one was set aside, so that it was lent another: that one is nobody else's as long as it may use it.
#[test]
fn a_reserved_address_that_comes_free_again_waits_for_the_lease_that_stood_in_for_it() {
    let (mut leases, now) = (with_reservations(), Duration::ZERO);
    let card = leases.holder(CARD, Vec::new());
    let reserved = leases.offer(&card, None, now).unwrap().address;
    assert!(leases.decline(&card, reserved, now));
    let stand_in = leases.offer(&card, None, now).unwrap().address;
    let until = DECLINE_HOLD + LEASE;
    assert!(stand_in != reserved && leases.confirm(&card, stand_in, Claim::Chosen, now, until));
    assert_eq!(leases.offer(&card, None, DECLINE_HOLD).unwrap().address, stand_in);
    for key in 0..4_u8 {
        assert_ne!(offer(&mut leases, &[key], DECLINE_HOLD), Some(stand_in));
    }
    assert_eq!(leases.offer(&card, None, until).unwrap().address, reserved);
}

#[test]
fn a_table_that_is_restored_knows_the_leases_and_respects_new_reservations() {
    let (mut leases, now) = (table(5), Duration::from_secs(100));
    let [one, other] = [b"one".as_slice(), b"other"].map(|key| lend(&mut leases, key, now));
    offer(&mut leases, b"offered", now);
    let records = leases.records(now + LEASE / 2);
    assert_eq!(records.len(), 2);
    let mut next = table(5);
    next.restore(records.clone(), LEASE / 4, Duration::ZERO);
    assert_eq!(next.taken(LEASE / 5), (2, 0));
    assert_eq!(next.taken(LEASE / 4), (0, 0), "no lease is longer than leases are here");
    assert_eq!(offer(&mut next, b"other", Duration::ZERO), Some(other));
    let mut cable = OwnCable::slash24(address(1));
    cable.reservations = vec![Reservation { mac: CARD, address: one }];
    let mut reserved = Leases::of(&cable);
    reserved.restore(records, LEASE, Duration::ZERO);
    assert_ne!(offer(&mut reserved, b"one", Duration::ZERO), Some(one));
}

proptest! {
    #[test]
    fn no_address_has_two_holders_or_a_wrong_one_and_the_table_never_outgrows_the_pool(
        steps in prop::collection::vec((0u8..9, 0u8..12, 95u8..110, 0u64..900), 1..200)
    ) {
        let mut leases = with_reservations();
        let mut now = Duration::ZERO;
        let mut lent = BTreeMap::<Ipv4Addr, (Vec<u8>, Duration)>::new();
        for (what, client, last, later) in steps {
            now += Duration::from_secs(if later > 600 { later } else { later % 5 });
            let address = address(if last < 98 { 50 } else { last });
            let who = leases.holder(Mac([2, 0, 0, 0, 0, client]), vec![client]);
            match what {
                0 | 1 => {
                    let given = leases.offer(&who, Some(address), now);
                    if let Some(Offer { address: given, .. }) = given {
                        let holder = lent.get(&given).filter(|(_, until)| *until > now);
                        prop_assert!(holder.is_none_or(|(key, _)| *key == who.key), "offered what is lent");
                    }
                }
                2..=4 => {
                    let claim = if what == 4 { Claim::Remembered } else { Claim::Chosen };
                    if leases.confirm(&who, address, claim, now, now + LEASE) {
                        let before = lent.insert(address, (who.key.clone(), now + LEASE));
                        let free = before.is_none_or(|(key, until)| key == who.key || until <= now);
                        prop_assert!(free, "lent twice");
                        lent.retain(|other, (key, _)| *key != who.key || *other == address);
                    }
                }
                5 => {
                    leases.release(&who, address, now);
                    lent.retain(|other, (key, _)| *key != who.key || *other != address);
                }
                6 if leases.decline(&who, address, now) => { lent.remove(&address); }
                7 => { leases.in_use(address, now); lent.remove(&address); }
                _ => leases.unanswered(address, now),
            }
            prop_assert!(leases.by_address.len() <= 6 && leases.by_key.len() <= 6);
            prop_assert!(leases.by_terms.len() <= leases.size());
            let pool = leases.by_address.keys().filter(|address| !leases.is_reserved(**address)).count();
            prop_assert_eq!(pool, leases.by_terms.len());
            for (key, held) in &leases.by_key {
                prop_assert_eq!(leases.by_address.get(held).and_then(|e| e.key.as_ref()), Some(key));
                let reserved = leases.reserved.iter().find(|(_, address)| *address == held);
                match reserved {
                    Some((card, _)) => prop_assert_eq!(&key[1..], &card.0),
                    None => prop_assert!((leases.first..=leases.last).contains(held)),
                }
            }
            let mut next = with_reservations();
            next.restore(leases.records(now), LEASE, Duration::ZERO);
            // A card whose own address was in use gets it again at the next start, and not what it had instead.
            let mut kept = leases.records(now);
            kept.retain(|it| it.key.len() != 7 || leases.is_reserved(it.address.to_bits()));
            prop_assert_eq!(next.records(Duration::ZERO), kept);
        }
    }
}
