//! Time as people say it.

use jiff::{SignedDuration, Timestamp, ZonedDateTime, civil::Time, tz::TimeZone};
use serde::{Deserialize, Deserializer};

/// Milliseconds since 1970.
pub type Millis = i64;

/// Now.
pub fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A moment in the local time zone, to the second.
pub fn local(moment: Millis) -> String {
    let moment = Timestamp::from_millisecond(moment).unwrap_or(Timestamp::MAX);
    moment.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Seconds as `1:05` or `2:00:00`.
pub fn span(seconds: f64) -> String {
    let s = seconds.round() as u64;
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

/// Milliseconds in a length of time such as `30m`, `2h` or `1h 30m`.
pub fn parse_length(text: &str) -> Result<Millis, String> {
    let length: SignedDuration = text.parse().map_err(|_| "it must be a time such as 30m, 2h or 1h30m".to_owned())?;
    let millis = i64::try_from(length.as_millis()).unwrap_or(0);
    if millis > 0 { Ok(millis) } else { Err("it must be longer than nothing".into()) }
}

/// A part of each day in local time, perhaps over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: Time,
    to: Time,
}

impl Hours {
    /// From `HH:MM-HH:MM`.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
        Some(Self { from: time(from)?, to: time(to)? }).filter(|hours| hours.from != hours.to)
    }

    /// Whether it is within them now.
    pub fn is_now(&self) -> bool {
        self.contains(ZonedDateTime::now().time())
    }

    fn contains(&self, time: Time) -> bool {
        match self.from < self.to {
            true => self.from <= time && time < self.to,
            false => self.from <= time || time < self.to,
        }
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.from.strftime("%H:%M"), self.to.strftime("%H:%M"))
    }
}

/// For the configuration: nothing, when the text is empty.
pub fn hours<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Hours>, D::Error> {
    let text = String::deserialize(input)?;
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || serde::de::Error::custom(format!("hours is \"{text}\"; it must be like \"20:00-07:00\""));
    Hours::parse(&text).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_go_over_midnight() {
        let at = |text: &str| Time::strptime("%H:%M", text).unwrap();
        let night = Hours::parse("20:00-07:00").unwrap();
        let inside = |hours: Hours, times: [&str; 4]| times.map(|time| hours.contains(at(time)));
        assert_eq!(inside(night, ["19:59", "20:00", "06:59", "07:00"]), [false, true, true, false]);
        let day = Hours::parse("7:30 - 20:00").unwrap();
        assert_eq!(inside(day, ["07:29", "07:30", "19:59", "20:00"]), [false, true, true, false]);
        for wrong in ["", "20:00", "25:00-07:00", "20:00-20:00", "8-9"] {
            assert_eq!(Hours::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lengths_are_as_people_write_them() {
        assert_eq!(parse_length("30m"), Ok(1_800_000));
        assert_eq!(parse_length("1h30m"), Ok(5_400_000));
        for wrong in ["", "30", "-5m", "soon", "0s"] {
            assert!(parse_length(wrong).is_err(), "{wrong}");
        }
    }
}
