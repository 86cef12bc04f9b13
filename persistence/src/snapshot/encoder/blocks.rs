//! Collections that come in the blocks of which the payload consists: they are written as they are.

use super::super::event::PackedShape;
use super::super::format::{container, kind};
use super::super::primitive::push_length;
use super::super::stream_encoder::{self, StreamEncoder};
use super::super::{Event, SnapshotError};
use super::{Form, SET_LISTPACK_SINCE, ValueEncoder, for_each, out_of_order, unwritable};

impl ValueEncoder {
    /// Writes a whole collection.
    pub(super) fn packed(&mut self, shape: PackedShape, bytes: &[u8]) -> Result<(), SnapshotError> {
        let code = match shape {
            PackedShape::Set if self.options.version < SET_LISTPACK_SINCE => {
                return self.unpacked_set(bytes);
            }
            PackedShape::Intset => kind::SET_INTSET,
            PackedShape::Set => kind::SET_LISTPACK,
            PackedShape::Hash => kind::HASH_LISTPACK,
            PackedShape::Zset => kind::ZSET_LISTPACK,
        };
        self.finish_packed(code, bytes);
        self.form = Form::Complete;
        Ok(())
    }

    /// Writes a set for servers that do not know such listpacks.
    fn unpacked_set(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let mut count = 0;
        for_each(bytes, |_| {
            count += 1;
            Ok(())
        })?;
        self.put(Event::SetBegin { len: Some(count) })?;
        for_each(bytes, |member| self.put(Event::SetMember(member)))
    }

    pub(super) fn begin_nodes(&mut self, of_stream: bool, nodes: u64) {
        let version = self.options.version;
        let code =
            if of_stream { stream_encoder::kind_in(version) } else { kind::LIST_QUICKLIST_2 };
        self.output.push(code);
        push_length(nodes, &mut self.output);
        self.form = Form::Nodes { of_stream, left: nodes };
    }

    /// Takes the next node, or what follows the last one of a stream.
    pub(super) fn node(&mut self, event: Event<'_>) -> Result<(), SnapshotError> {
        let Form::Nodes { of_stream, left } = &mut self.form else { return Err(out_of_order()) };
        match event {
            Event::ListNode { packed, bytes } if !*of_stream => {
                let container = if packed { container::PACKED } else { container::PLAIN };
                push_length(container, &mut self.output);
                self.strings.push(bytes, &mut self.output);
            }
            Event::StreamNode { base, bytes } if *of_stream => {
                stream_encoder::push_plain_string(&base.to_bytes(), &mut self.output);
                self.strings.push(bytes, &mut self.output);
            }
            Event::StreamMeta(meta) if *of_stream && *left == 0 => {
                let stream = StreamEncoder::behind_nodes(self.options.version, meta);
                self.form = Form::Stream(Box::new(stream));
                return Ok(());
            }
            _ => return Err(out_of_order()),
        }
        *left = left.checked_sub(1).ok_or_else(|| unwritable("more nodes than said"))?;
        Ok(())
    }
}
