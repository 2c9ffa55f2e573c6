package org.pocketfleet.transport;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnsafeByteOperations;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.fleet.Metadata;
import org.pocketfleet.fleet.PullObjectRequest;
import org.pocketfleet.fleet.PullObjectResponse;
import org.pocketfleet.fleet.PushMessagesRequest;
import org.pocketfleet.fleet.PushMessagesResponse;
import org.pocketfleet.fleet.PushObjectRequest;
import org.pocketfleet.fleet.PushObjectResponse;
import org.pocketfleet.message.Records;
import org.pocketfleet.state.OutgoingReply;
import org.pocketfleet.state.StateDirectory;
import org.pocketfleet.state.StateException;

/**
 * Sends replies.
 *
 * <p>{@code push-messages} may be repeated with the same reply and lists the objects that are
 * missing; none when the server has them all, and none when nobody waits for the reply. Nor does it
 * list any once the server's app has taken the announced reply and waits for its objects, which for
 * three minutes can still be sent in the old push session. A reply is lost when its node is
 * inactive as the server looks for it; one that was looked at is gone from the server's object
 * store.
 */
final class ReplySender {
  private static final int PUSH_ROUNDS = 5;
  private static final double PICK_UP_EVERY_S = 0.2;

  private final Session session;
  private final StateDirectory state;
  private final Crew crew;
  private final double leaveWithinS;
  private final Map<String, Object> lastUpload = new LinkedHashMap<>();
  private Metadata lastPushed;

  ReplySender(Session session, StateDirectory state, Crew crew, double leaveWithinS) {
    this.session = session;
    this.state = state;
    this.crew = crew;
    this.leaveWithinS = leaveWithinS;
    remember(0, 0, 0);
  }

  /** Seconds, bytes and round of the last upload, as metrics. */
  Map<String, Object> lastUpload() {
    return lastUpload;
  }

  /**
   * Sends a reply, until the server has all of it or does not want it.
   *
   * @param round of the reply; null if an earlier process saved it
   * @return whether the server has all of it now
   */
  boolean send(OutgoingReply reply, Long round) throws PocketfleetException {
    long start = System.nanoTime();
    Traffic traffic = new Traffic();
    String outcome;
    try {
      outcome = push(reply, traffic, round == null);
    } catch (RefusedException | MessageException error) {
      outcome = "refused reason=" + error.getMessage();
    }
    double uploadS = (System.nanoTime() - start) / 1e9;
    long ofRound = round == null ? 0 : round;
    remember(uploadS, traffic.sent(), ofRound);
    Events.info(
        "event=reply round=%d upload-s=%.3f bytes=%d outcome=%s",
        ofRound, uploadS, traffic.sent(), outcome);
    return outcome.equals("sent");
  }

  /** Waits until the last reply is gone from the server's store; false when time is up first. */
  boolean pickedUp() {
    if (lastPushed == null) {
      return true;
    }
    PullObjectRequest question =
        PullObjectRequest.newBuilder()
            .setNode(session.node())
            .setRunId(lastPushed.getRunId())
            .setObjectId(lastPushed.getMessageId())
            .build();
    long start = System.nanoTime();
    StopSignal nothing = new StopSignal();
    try {
      while (session
          .askOnce("pull-object", question, PullObjectResponse.parser())
          .getObjectFound()) {
        if (System.nanoTime() - start > leaveWithinS * 1e9) {
          Events.info("event=left-unannounced reason=reply-not-picked-up");
          return false;
        }
        nothing.sleep(PICK_UP_EVERY_S);
      }
      return true;
    } catch (RunOverException over) {
      return true;
    } catch (PocketfleetException error) {
      Events.info("event=left-unannounced reason=%s", error.getMessage());
      return false;
    }
  }

  private void remember(double seconds, long bytes, long round) {
    lastUpload.put(Records.PREVIOUS_UPLOAD_S, seconds);
    lastUpload.put(Records.PREVIOUS_UPLOAD_BYTES, bytes);
    lastUpload.put(Records.PREVIOUS_UPLOAD_ROUND, round);
  }

  /** Announces the reply and sends what the server lacks of it, until it lacks nothing. */
  private String push(OutgoingReply reply, Traffic traffic, boolean resumed)
      throws PocketfleetException {
    PushMessagesRequest announcement;
    try {
      announcement = PushMessagesRequest.parseFrom(reply.announcement());
    } catch (InvalidProtocolBufferException error) {
      throw new MessageException("the saved reply is damaged", error);
    }
    if (announcement.getMessagesListCount() != 1) {
      throw new MessageException("the saved reply is damaged");
    }
    Metadata message = announcement.getMessagesList(0).getMetadata();
    for (int attempt = 0; attempt < PUSH_ROUNDS; attempt++) {
      PushMessagesResponse answer =
          session.call(
              "push-messages",
              node -> announcement.toBuilder().setNode(node).build(),
              PushMessagesResponse.parser(),
              FleetTransport.MANY_MESSAGES,
              traffic);
      Set<String> missing = new HashSet<>(answer.getObjectsToPushList());
      if (missing.isEmpty()) {
        if (attempt == 0 && !pushInOldSession(reply, message, traffic, resumed)) {
          return resumed ? "sent-before-or-unwanted" : "unwanted";
        }
        return sent(message);
      }
      keepSession(answer.getSessionId());
      if (pushAll(reply, message, missing, answer.getSessionId(), traffic)) {
        return sent(message);
      }
    }
    return "refused reason=objects-not-stored";
  }

  private String sent(Metadata message) {
    lastPushed = message;
    return "sent";
  }

  /** Sends several objects; true when the server stored each. */
  private boolean pushAll(
      OutgoingReply reply, Metadata message, Set<String> missing, String inSession, Traffic traffic)
      throws PocketfleetException {
    List<String> wanted = new ArrayList<>();
    long largest = 0;
    for (String id : reply.objectIds()) {
      if (missing.contains(id)) {
        wanted.add(id);
        largest = Math.max(largest, reply.size(id));
      }
    }
    boolean all = true;
    try (Crew.Results<String, Boolean> results =
        crew.inOrder(
            id -> pushObject(reply, message, id, inSession, traffic),
            wanted,
            Crew.atOnce(largest))) {
      for (int at = 0; at < wanted.size(); at++) {
        all &= results.next();
      }
    }
    return all;
  }

  /** Sends to an app that took the announcement of an earlier try; false when there is none. */
  private boolean pushInOldSession(
      OutgoingReply reply, Metadata message, Traffic traffic, boolean resumed)
      throws PocketfleetException {
    // The name is lost if the answer to the announcement was; the server then finds the session by
    // the objects.
    String inSession = state.session();
    boolean anyStored = false;
    for (String id : reply.objectIds()) {
      boolean stored = pushObject(reply, message, id, inSession, traffic);
      anyStored |= stored;
      if (!stored && !resumed) {
        break;
      }
    }
    return anyStored;
  }

  private boolean pushObject(
      OutgoingReply reply, Metadata message, String id, String inSession, Traffic traffic)
      throws PocketfleetException {
    PushObjectRequest request =
        PushObjectRequest.newBuilder()
            .setRunId(message.getRunId())
            .setObjectId(id)
            .setObjectContent(UnsafeByteOperations.unsafeWrap(reply.read(id)))
            .setSessionId(inSession)
            .build();
    return session
        .call(
            "push-object",
            node -> request.toBuilder().setNode(node).build(),
            PushObjectResponse.parser(),
            Session.SMALL,
            traffic)
        .getStored();
  }

  private void keepSession(String name) {
    try {
      state.saveSession(name);
    } catch (StateException error) {
      // Only a client that is killed just now would need it.
      Events.warn("event=storage-trouble what=session reason=%s", error.getMessage());
    }
  }
}
