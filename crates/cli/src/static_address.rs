//! The address of a machine whose network hands none out.

use anyhow::Result;
use cairn_model::static_address::StaticAddress;
use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct StaticAddressArguments {
    /// Give the machine this address instead of asking a router, such as 192.168.1.21/24
    #[arg(long, value_name = "ADDRESS/LENGTH", requires = "gateway")]
    address: Option<String>,
    /// The router's address in that network
    #[arg(long, value_name = "ADDRESS", requires = "address")]
    gateway: Option<String>,
    /// A DNS server that goes with it; up to three, each with its own --dns or with commas between
    #[arg(long, value_name = "ADDRESS", requires = "address", value_delimiter = ',')]
    dns: Vec<String>,
}

impl StaticAddressArguments {
    /// What was given, if anything was.
    ///
    /// # Errors
    /// When no machine can have that address.
    pub fn get(&self) -> Result<Option<StaticAddress>> {
        let Self { address, gateway, dns } = self;
        let (Some(address), Some(gateway)) = (address, gateway) else { return Ok(None) };
        Ok(Some(StaticAddress::new(address, gateway, dns)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        address: StaticAddressArguments,
    }

    fn address(arguments: &str) -> Result<Option<StaticAddress>> {
        Line::try_parse_from(["cairn"].into_iter().chain(arguments.split_whitespace()))?.address.get()
    }

    #[test]
    fn an_address_is_taken_with_its_gateway_and_refused_by_halves() {
        assert_eq!(address("").unwrap(), None);
        let given = "--address 192.168.1.21/24 --gateway 192.168.1.1 --dns 192.168.1.1,9.9.9.9 --dns 1.1.1.1";
        assert_eq!(address(given).unwrap().unwrap().dns().len(), 3);
        for half in ["--address 192.168.1.21/24", "--gateway 192.168.1.1", "--dns 9.9.9.9"] {
            assert!(address(half).is_err(), "{half}");
        }
        let error = address("--address 192.168.1.21 --gateway 192.168.1.1").unwrap_err().to_string();
        assert!(error.contains("such as 192.168.1.21/24"), "{error}");
    }
}
