//! The AWS door: SQS, SNS, Cloud Map and STS on one port.
