package org.pocketfleet.transport;

import com.google.protobuf.InvalidProtocolBufferException;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.energy.Phases;
import org.pocketfleet.fleet.ConfirmMessageReceivedRequest;
import org.pocketfleet.fleet.ConfirmMessageReceivedResponse;
import org.pocketfleet.fleet.Metadata;
import org.pocketfleet.fleet.PullMessagesRequest;
import org.pocketfleet.fleet.PullMessagesResponse;
import org.pocketfleet.fleet.PullObjectRequest;
import org.pocketfleet.fleet.PullObjectResponse;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.state.OutgoingReply;
import org.pocketfleet.state.StateDirectory;
import org.pocketfleet.state.StateException;

/**
 * The transport over Flower's Fleet API: protobuf over HTTP(S), signed requests.
 *
 * <p>A message is marked as delivered when it is handed out, and never handed out again, but its
 * objects stay until {@code confirm-message-received}. So the message's metadata goes to the disk
 * at once, and the server is told that it arrived only when the reply is on the disk too: a client
 * killed in between fetches the arrays again. {@link ReplySender} knows the way back.
 */
final class FleetTransport implements Transport {
  static final int MANY_MESSAGES = 1 << 26;
  private static final int OBJECT_LIMIT = 64 << 20;

  /** How long the server waits for its own app to send an object. */
  private static final double AVAILABLE_WITHIN_S = 180;

  private static final double FIRST_LOOK_S = 0.02;

  private final Session session;
  private final StateDirectory state;
  private final ServerClock clock;
  private final long maxMessageBytes;
  private final Consumer<String> phase;
  private final Crew crew = new Crew();
  private final ReplySender sender;

  /** A small reply that found no room on the disk; null: none. */
  private MemoryReply unsaved;

  /** Of the saved reply; null if an earlier process saved it. */
  private Long round;

  /**
   * Makes one end of the line.
   *
   * @param maxMessageBytes most bytes of arrays to accept in one message
   * @param leaveWithinS how long {@link #close} waits for the server to look at the last reply
   * @param phase hears when a download, an upload and waiting begin
   */
  FleetTransport(
      Session session,
      StateDirectory state,
      ServerClock clock,
      long maxMessageBytes,
      double leaveWithinS,
      Consumer<String> phase) {
    this.session = session;
    this.phase = phase;
    this.state = state;
    this.clock = clock;
    this.maxMessageBytes = maxMessageBytes;
    this.sender = new ReplySender(session, state, crew, leaveWithinS);
  }

  @Override
  public void connect() throws PocketfleetException {
    session.connect();
  }

  @Override
  public Envelope pull() throws PocketfleetException {
    phase.accept(Phases.WAIT);
    byte[] saved = state.task();
    if (saved != null) {
      try {
        Metadata metadata = Metadata.parseFrom(saved);
        if (metadata.getCreatedAt() + metadata.getTtl() > clock.now()) {
          return open(metadata, true);
        }
        dropTask("it has expired");
      } catch (InvalidProtocolBufferException error) {
        dropTask("damaged: " + error.getMessage());
        return null;
      }
    }
    Metadata metadata = next();
    if (metadata == null) {
      return null;
    }
    try {
      state.saveTask(metadata.toByteArray());
    } catch (StateException error) {
      Events.error(null, "event=storage-trouble what=task reason=%s", error.getMessage());
      saveError(metadata, "this device's storage fails: " + error.getMessage(), 0);
      send();
      return null;
    }
    return open(metadata, false);
  }

  @Override
  public String save(Envelope envelope, Reply reply, String problem) throws PocketfleetException {
    Metadata message = envelope.message();
    long ofRound = envelope.task().round();
    String reason = problem;
    if (reply != null) {
      try {
        double now = clock.now();
        saveReply(
            message,
            ReplyEncoder.reply(message, withTransfers(reply, envelope), envelope.packed(), now),
            ofRound);
        return null;
      } catch (IllegalArgumentException | ArithmeticException error) {
        Events.error(error, "event=reply-unfit kind=%s", envelope.task().kind());
        reason = "the reply cannot be sent: " + error.getMessage();
      } catch (StateException error) {
        Events.error(null, "event=storage-trouble what=reply reason=%s", error.getMessage());
        reason = "the reply cannot be kept on this device: " + error.getMessage();
      }
    }
    saveError(message, reason, ofRound);
    return reason;
  }

  @Override
  public boolean send() throws PocketfleetException {
    try (OutgoingReply reply = unsaved != null ? unsaved : state.reply()) {
      if (reply == null) {
        return false;
      }
      // A kill between saving the reply and forgetting its task leaves both.
      state.forgetTask();
      Long ofRound = round;
      round = null;
      phase.accept(Phases.UPLOAD);
      boolean sent = sender.send(reply, ofRound);
      phase.accept(Phases.WAIT);
      unsaved = null;
      state.forgetReply();
      return sent;
    }
  }

  @Override
  public void close() {
    boolean pickedUp = sender.pickedUp();
    crew.dismiss();
    session.leave(pickedUp);
  }

  /** Asks the server for a message; null: there is none, or no sensible answer. */
  private Metadata next() throws PocketfleetException {
    PullMessagesResponse answer;
    try {
      answer =
          session.call(
              "pull-messages",
              node -> PullMessagesRequest.newBuilder().setNode(node).build(),
              PullMessagesResponse.parser(),
              MANY_MESSAGES,
              new Traffic());
    } catch (RunOverException serverIsNew) {
      return null;
    } catch (NotEnrolledException error) {
      throw error;
    } catch (MessageException | RefusedException error) {
      Events.error(null, "event=no-answer reason=%s", error.getMessage());
      return null;
    }
    return answer.getMessagesListCount() == 0 ? null : answer.getMessagesList(0).getMetadata();
  }

  /** Fetches a message's content; one without usable content is answered, or dropped, here. */
  private Envelope open(Metadata metadata, boolean resumed) throws PocketfleetException {
    Traffic traffic = new Traffic();
    phase.accept(Phases.DOWNLOAD);
    long start = System.nanoTime();
    TaskDecoder decoder =
        new TaskDecoder(
            metadata,
            (ids, atOnce) -> stream(metadata.getRunId(), ids, atOnce, traffic),
            maxMessageBytes);
    Task task;
    try {
      task = decoder.decode();
    } catch (RunOverException error) {
      dropTask(error.getMessage());
      return null;
    } catch (MessageException | RefusedException error) {
      refuse(metadata, error.getMessage());
      return null;
    } catch (OutOfMemoryError error) {
      refuse(metadata, "this device's memory cannot hold it: " + error.getMessage());
      return null;
    }
    double downloadS = (System.nanoTime() - start) / 1e9;
    phase.accept(Phases.NONE);
    Events.info(
        "event=task kind=%s round=%d run=%s download-s=%.3f bytes=%d resumed=%s",
        task.kind(),
        task.round(),
        Long.toUnsignedString(metadata.getRunId()),
        downloadS,
        traffic.received(),
        resumed ? "yes" : "no");
    return new Envelope(task, metadata, decoder.packed(), downloadS, traffic.received());
  }

  private void refuse(Metadata metadata, String reason) throws PocketfleetException {
    Events.error(
        null,
        "event=message-refused message=%s reason=%s",
        ObjectId.shown(metadata.getMessageId()),
        reason);
    saveError(metadata, "the message cannot be used: " + reason, 0);
    send();
  }

  private ObjectSource.Stream stream(long runId, List<String> ids, int atOnce, Traffic traffic) {
    Crew.Results<String, ByteBuffer> results =
        crew.inOrder(id -> pullObject(runId, id, traffic), ids, atOnce);
    return new ObjectSource.Stream() {
      @Override
      public ByteBuffer next() throws PocketfleetException {
        return results.next();
      }

      @Override
      public void close() {
        results.close();
      }
    };
  }

  private ByteBuffer pullObject(long runId, String id, Traffic traffic)
      throws PocketfleetException {
    double waitS = FIRST_LOOK_S;
    long start = System.nanoTime();
    while (true) {
      PullObjectResponse answer =
          session.call(
              "pull-object",
              node ->
                  PullObjectRequest.newBuilder()
                      .setNode(node)
                      .setRunId(runId)
                      .setObjectId(id)
                      .build(),
              PullObjectResponse.parser(),
              OBJECT_LIMIT,
              traffic);
      if (!answer.getObjectFound()) {
        throw new MessageException("the server does not have object " + ObjectId.shown(id));
      }
      if (answer.getObjectAvailable()) {
        return answer.getObjectContent().asReadOnlyByteBuffer();
      }
      // The server's app announced it and is still sending it.
      if (System.nanoTime() - start > AVAILABLE_WITHIN_S * 1e9) {
        throw new MessageException("the server never got object " + ObjectId.shown(id));
      }
      session.sleep(waitS);
      waitS = Math.min(2 * waitS, 1);
    }
  }

  private Reply withTransfers(Reply reply, Envelope envelope) {
    Map<String, Object> metrics = new LinkedHashMap<>(reply.metrics());
    metrics.put(Records.DOWNLOAD_S, envelope.downloadS());
    metrics.put(Records.DOWNLOAD_BYTES, envelope.downloadBytes());
    metrics.putAll(sender.lastUpload());
    return new Reply(metrics, reply.info(), reply.arrays());
  }

  /** Saves an error, or keeps it in memory when the disk has no room even for that. */
  private void saveError(Metadata message, String reason, long ofRound)
      throws PocketfleetException {
    StoredObject root = ReplyEncoder.error(message, reason, clock.now());
    try {
      saveReply(message, root, ofRound);
    } catch (StateException error) {
      Events.error(null, "event=storage-trouble what=error reason=%s", error.getMessage());
      unsaved = new MemoryReply(Announcement.of(root), root.descendantsFirst());
      settle(message, ofRound);
    }
  }

  private void saveReply(Metadata message, StoredObject root, long ofRound)
      throws PocketfleetException {
    state.saveReply(Announcement.of(root), root.descendantsFirst());
    settle(message, ofRound);
  }

  /** The reply is safe: the message is not needed any more, neither here nor at the server. */
  private void settle(Metadata message, long ofRound) throws PocketfleetException {
    state.forgetTask();
    round = ofRound;
    try {
      session.call(
          "confirm-message-received",
          node ->
              ConfirmMessageReceivedRequest.newBuilder()
                  .setNode(node)
                  .setRunId(message.getRunId())
                  .setMessageObjectId(message.getMessageId())
                  .build(),
          ConfirmMessageReceivedResponse.parser(),
          Session.SMALL,
          new Traffic());
    } catch (RefusedException | MessageException error) {
      Events.debug("event=confirmation-refused reason=%s", error.getMessage());
    }
  }

  private void dropTask(String reason) throws StateException {
    state.forgetTask();
    Events.warn("event=dropped what=task reason=%s", reason);
  }
}
