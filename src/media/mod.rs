//! Video files: what is in them, decoding to frames, encoding and muxing the result.
//!
//! Everything FFmpeg is inside this folder; the rest of the program sees [`Frame`], [`VideoInfo`] and [`Color`].
//! [`Decoder`] gives the frames of a file in order with their times; [`Encoder`] compresses them; [`Muxer`] puts the
//! packets into a file, and reads sound, subtitles and the like from the source a second time, packet by packet, so that
//! nothing is held in memory.

mod admit;
mod av;
mod beside;
mod color;
mod container;
mod continuity;
mod convert;
mod damage;
mod decode;
mod describe;
mod description;
mod effort;
mod encode;
mod error;
mod frame;
mod key_packet;
mod light;
mod losses;
mod moving;
mod mux;
mod packet_clock;
mod pad;
mod palette;
mod pictures;
mod probe;
mod proxy;
mod reader;
mod share;
mod side_streams;
mod stamps;
mod stretches;
mod thumbnail;
mod transcode;
mod turn;
mod verify;
mod version;

pub use av::{init, version};
pub use beside::{Beside, Panel};
pub use color::{Color, Matrix, Range};
pub use container::CONTAINERS;
pub use decode::Decoder;
pub use encode::{EncodeSettings, Encoder, Packet, has_encoder, try_encoder};
pub use error::MediaError;
pub use frame::{Frame, Layout, Plane, PlaneMut};
pub use losses::Losses;
pub use mux::{Muxer, Written};
pub use pictures::still_result;
pub use probe::{VideoInfo, probe};
pub use proxy::{Proxy, can_make_proxy, make_proxy};
pub use share::{ShareError, Sharing, check_sharing, share};
pub use side_streams::LeftOut;
pub use stamps::ClockJump;
pub use stretches::{Begin, Stretches};
pub use thumbnail::Thumbnail;
pub use verify::{Verified, verify};
