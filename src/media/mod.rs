//! Video files: what is in them, decoding to frames, encoding and muxing the result.
//!
//! Everything FFmpeg is inside this folder; the rest of the program sees [`Frame`], [`VideoInfo`] and [`Color`].
//! [`Decoder`] gives the frames of a file in order with their times; [`Encoder`] compresses them; [`Muxer`] puts the
//! packets into a file, and reads sound, subtitles and the like from the source a second time, packet by packet, so that
//! nothing is held in memory.

mod av;
mod color;
mod convert;
mod decode;
mod effort;
mod encode;
mod error;
mod frame;
mod light;
mod mux;
mod pad;
mod probe;
mod side_streams;
mod thumbnail;
mod transcode;
mod turn;
mod verify;

pub use av::{init, version};
pub use color::{Color, Matrix, Range};
pub use decode::{ClockJump, Decoder, Losses};
pub use encode::{EncodeSettings, Encoder, Packet, has_encoder, try_encoder};
pub use error::MediaError;
pub use frame::{Frame, Layout, Plane, PlaneMut};
pub use mux::{Muxer, Written};
pub use probe::{VideoInfo, probe};
pub use side_streams::LeftOut;
pub use thumbnail::Thumbnail;
pub use verify::{Verified, verify};
