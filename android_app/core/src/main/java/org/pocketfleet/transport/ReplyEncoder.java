package org.pocketfleet.transport;

import com.google.gson.stream.JsonWriter;
import com.google.protobuf.ByteString;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.pocketfleet.fleet.ConfigRecord;
import org.pocketfleet.fleet.ConfigRecordValue;
import org.pocketfleet.fleet.Error;
import org.pocketfleet.fleet.Message;
import org.pocketfleet.fleet.Metadata;
import org.pocketfleet.fleet.MetricRecord;
import org.pocketfleet.fleet.MetricRecordValue;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Reply;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.SafeTensors;
import org.pocketfleet.tensor.Tensor;

/** Turns replies into trees of objects ({@code docs/protocol.md}). */
final class ReplyEncoder {
  /** Flower's number for "the client's code raised an exception". */
  private static final int RAISED = 2;

  private static final int MAX_REASON = 2000;

  private ReplyEncoder() {}

  /**
   * Encodes an answer. Its arrays are referred to, not copied.
   *
   * @param asked metadata of the message that is answered
   * @param packed whether its arrays travel as one
   * @param createdAt the server's time in seconds
   * @throws IllegalArgumentException the reply holds something that cannot travel
   */
  static StoredObject reply(Metadata asked, Reply reply, boolean packed, double createdAt) {
    Map<String, StoredObject> records = new LinkedHashMap<>();
    if (reply.arrays() != null) {
      records.put(Records.ARRAYS, byName("ArrayRecord", arrays(reply.arrays(), packed)));
    }
    records.put(Records.METRICS, leaf("MetricRecord", metrics(reply.metrics()).toByteArray()));
    if (!reply.info().isEmpty()) {
      String name = TaskDecoder.kindOf(asked).equals(Records.QUERY) ? Records.DEVICE : Records.INFO;
      records.put(name, leaf("ConfigRecord", config(reply.info()).toByteArray()));
    }
    Message body = Message.newBuilder().setMetadata(answerTo(asked, createdAt)).build();
    return StoredObject.of(
        "Message", Collections.singletonList(byName("RecordDict", records)), body.toByteArray());
  }

  /** Encodes the news that a message could not be answered, so that the server need not wait. */
  static StoredObject error(Metadata asked, String reason, double createdAt) {
    String shown = reason.substring(0, Math.min(MAX_REASON, reason.length()));
    Message body =
        Message.newBuilder()
            .setMetadata(answerTo(asked, createdAt))
            .setError(Error.newBuilder().setCode(RAISED).setReason(shown))
            .build();
    return leaf("Message", body.toByteArray());
  }

  private static StoredObject leaf(String kind, byte[] body) {
    return StoredObject.of(kind, Collections.emptyList(), body);
  }

  private static Metadata answerTo(Metadata asked, double createdAt) {
    Metadata.Builder answer =
        Metadata.newBuilder()
            .setRunId(asked.getRunId())
            .setSrcNodeId(asked.getDstNodeId())
            .setDstNodeId(asked.getSrcNodeId())
            .setReplyToMessageId(asked.getMessageId())
            .setGroupId(asked.getGroupId())
            .setTtl(asked.getCreatedAt() + asked.getTtl() - createdAt)
            .setMessageType(asked.getMessageType())
            .setCreatedAt(createdAt);
    if (asked.hasDstTaskId()) {
      answer.setSrcTaskId(asked.getDstTaskId());
    }
    if (asked.hasSrcTaskId()) {
      answer.setDstTaskId(asked.getSrcTaskId());
    }
    return answer.build();
  }

  private static Map<String, StoredObject> arrays(Map<String, Tensor> tensors, boolean packed) {
    Map<String, StoredObject> arrays = new LinkedHashMap<>();
    if (packed) {
      List<ByteBuffer> file = SafeTensors.parts(tensors);
      int bytes = 0;
      for (ByteBuffer part : file) {
        bytes = Math.addExact(bytes, part.remaining());
      }
      arrays.put(
          Records.PACKED,
          ArrayEncoder.encode(DType.UINT8, new int[] {bytes}, file, ArrayEncoder.CHUNK_BYTES));
    } else {
      tensors.forEach((name, tensor) -> arrays.put(name, ArrayEncoder.encode(tensor)));
    }
    return arrays;
  }

  private static StoredObject byName(String kind, Map<String, StoredObject> named) {
    StringWriter text = new StringWriter();
    try (JsonWriter json = new JsonWriter(text)) {
      json.beginObject();
      for (Map.Entry<String, StoredObject> each : named.entrySet()) {
        json.name(each.getKey()).value(each.getValue().id());
      }
      json.endObject();
    } catch (IOException error) {
      throw new UncheckedIOException("a text in memory cannot be written", error);
    }
    byte[] body = text.toString().getBytes(StandardCharsets.UTF_8);
    return StoredObject.of(kind, named.values(), body);
  }

  private static MetricRecord metrics(Map<String, Object> values) {
    MetricRecord.Builder record = MetricRecord.newBuilder();
    values.forEach(
        (key, value) -> {
          MetricRecordValue.Builder one = MetricRecordValue.newBuilder();
          if (isWhole(value)) {
            one.setSint64(((Number) value).longValue());
          } else if (isFraction(value)) {
            one.setDouble(((Number) value).doubleValue());
          } else {
            throw unfit("metric", key, value);
          }
          record.addItems(MetricRecord.Item.newBuilder().setKey(key).setValue(one));
        });
    return record.build();
  }

  private static ConfigRecord config(Map<String, Object> values) {
    ConfigRecord.Builder record = ConfigRecord.newBuilder();
    values.forEach(
        (key, value) -> {
          ConfigRecordValue.Builder one = ConfigRecordValue.newBuilder();
          if (value instanceof Boolean) {
            one.setBool((Boolean) value);
          } else if (isWhole(value)) {
            one.setSint64(((Number) value).longValue());
          } else if (isFraction(value)) {
            one.setDouble(((Number) value).doubleValue());
          } else if (value instanceof String) {
            one.setString((String) value);
          } else if (value instanceof byte[]) {
            one.setBytes(ByteString.copyFrom((byte[]) value));
          } else {
            throw unfit("info", key, value);
          }
          record.addItems(ConfigRecord.Item.newBuilder().setKey(key).setValue(one));
        });
    return record.build();
  }

  private static boolean isWhole(Object value) {
    return value instanceof Long || value instanceof Integer;
  }

  private static boolean isFraction(Object value) {
    return value instanceof Double || value instanceof Float;
  }

  private static IllegalArgumentException unfit(String what, String key, Object value) {
    String type = value == null ? "null" : value.getClass().getSimpleName();
    return new IllegalArgumentException(what + " '" + key + "': " + type + " cannot travel");
  }
}
