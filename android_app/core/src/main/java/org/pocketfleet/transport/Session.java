package org.pocketfleet.transport;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.fleet.ActivateNodeRequest;
import org.pocketfleet.fleet.ActivateNodeResponse;
import org.pocketfleet.fleet.DeactivateNodeRequest;
import org.pocketfleet.fleet.DeactivateNodeResponse;
import org.pocketfleet.fleet.Node;
import org.pocketfleet.fleet.RegisterNodeFleetRequest;
import org.pocketfleet.fleet.RegisterNodeFleetResponse;
import org.pocketfleet.fleet.SendNodeHeartbeatRequest;
import org.pocketfleet.fleet.SendNodeHeartbeatResponse;
import org.pocketfleet.state.SavedReply;
import org.pocketfleet.state.StateDirectory;
import org.pocketfleet.state.StateException;

/**
 * One client's standing with one server, kept up across failures of either: register, activate,
 * stay alive, come back.
 */
final class Session {
  static final int SMALL = 1 << 20;
  private static final double PROGRESS_EVERY_S = 30;
  private static final int ODD_ANSWER_TRIES = 3;
  private static final double ODD_ANSWER_WAIT_S = 0.2;
  private static final double HEARTBEAT_RETRY_S = 5;
  private static final int UNAUTHORIZED = 401;
  private static final int PRECONDITION_FAILED = 412;
  private static final int SERVER_ERROR = 500;

  private final Connection connection;
  private final NodeKey key;
  private final StateDirectory state;
  private final double heartbeatS;
  private final double giveUpAfterS;
  private final StopSignal stop;
  private final Consumer<String> trouble;
  private final Object reconnecting = new Object();
  private final StopSignal heartStop = new StopSignal();
  private volatile Node node;
  private final AtomicInteger connections = new AtomicInteger();
  private Thread heart;

  /** Makes a request for the number that the server knows this client by. */
  interface Request {
    /** Makes it. */
    MessageLite from(Node node);
  }

  /**
   * Prepares a session; makes no call.
   *
   * @param heartbeatS the server counts the client as gone when it has heard nothing for twice as
   *     long
   * @param giveUpAfterS how long to go on trying while the server does not answer; 0: for ever
   * @param stop set from outside when the client is to leave
   * @param trouble hears, in words for people, what the session deals with itself
   */
  Session(
      Connection connection,
      NodeKey key,
      StateDirectory state,
      double heartbeatS,
      double giveUpAfterS,
      StopSignal stop,
      Consumer<String> trouble) {
    this.connection = connection;
    this.key = key;
    this.state = state;
    this.heartbeatS = heartbeatS;
    this.giveUpAfterS = giveUpAfterS;
    this.stop = stop;
    this.trouble = trouble;
  }

  /** The server's number for this client; null before {@link #connect}. */
  Node node() {
    return node;
  }

  /**
   * Becomes active at the server, whatever either side remembers of earlier times.
   *
   * @throws NotEnrolledException the server admits only keys that were enrolled, and this one was
   *     not for as long as we were willing to wait
   */
  void connect() throws PocketfleetException {
    Backoff backoff = backoff();
    double toldAt = -PROGRESS_EVERY_S;
    Long nodeId = null;
    while (nodeId == null) {
      RefusedException problem;
      String why;
      try {
        nodeId = activate();
        problem = activeElsewhere();
        why = "earlier-session-still-active";
      } catch (NotEnrolledException error) {
        // The server may be about to enrol it: when it starts, or when a person gets round to it.
        problem = error;
        why = "not-enrolled";
      }
      if (nodeId == null) {
        double waitS = backoff.failure();
        if (waitS == Backoff.GIVE_UP) {
          throw problem;
        }
        if (seconds() - toldAt > PROGRESS_EVERY_S) {
          toldAt = seconds();
          Events.warn("event=waiting reason=%s: %s", why, problem.getMessage());
          trouble.accept(problem.getMessage());
        }
        stop.sleep(waitS);
      }
    }
    adopt(nodeId);
    node = Node.newBuilder().setNodeId(nodeId).build();
    connections.incrementAndGet();
    Events.info(
        "event=connected server=%s node=%s key=%s",
        connection.server(), Long.toUnsignedString(nodeId), NodeKeys.fingerprint(key));
    if (heart == null) {
      heart = new Thread(this::beat, "pocketfleet-heartbeat");
      heart.setDaemon(true);
      heart.start();
    }
  }

  /**
   * Makes a call as this client, for as long as it takes.
   *
   * @throws RunOverException the run has ended, or the server is a new one that never heard of it
   * @throws RefusedException the server said no, not only once
   * @throws UnreachableException no answer for too long
   * @throws MessageException the answer is not one, not only once
   * @throws LeavingException the client is to leave
   */
  <R> R call(String name, Request request, Parser<R> answer, int limit, Traffic traffic)
      throws PocketfleetException {
    int connectionsBefore = connections.get();
    Node before = node;
    try {
      return patiently(name, request.from(before), answer, limit, traffic);
    } catch (RefusedException error) {
      if (error.status() != UNAUTHORIZED) {
        throw error;
      }
      Events.warn("event=forgotten server=%s reason=%s", connection.server(), error.getMessage());
    }
    synchronized (reconnecting) {
      if (connections.get() == connectionsBefore) {
        connect();
      }
    }
    if (node.getNodeId() != before.getNodeId()) {
      throw new RunOverException(
          connection.server() + " is a new server with none of the old runs", UNAUTHORIZED, 0);
    }
    return patiently(name, request.from(node), answer, limit, traffic);
  }

  /** Makes a call without trying again, for when there is no time. */
  <R> R askOnce(String name, MessageLite request, Parser<R> answer) throws PocketfleetException {
    return connection.call(name, request, answer, SMALL, new Traffic());
  }

  /**
   * Waits, unless the client is to leave.
   *
   * @throws LeavingException it is
   */
  void sleep(double seconds) throws LeavingException {
    stop.sleep(seconds);
  }

  /**
   * Stops heartbeats.
   *
   * @param deactivate whether to tell the server at once that this client is gone
   */
  void leave(boolean deactivate) {
    heartStop.set();
    if (deactivate && node != null) {
      try {
        askOnce(
            "deactivate-node",
            DeactivateNodeRequest.newBuilder().setNodeId(node.getNodeId()).build(),
            DeactivateNodeResponse.parser());
      } catch (PocketfleetException error) {
        Events.info("event=left-unannounced reason=%s", error.getMessage());
      }
    }
    connection.close();
  }

  /** Tries what may work, most likely first; null while an earlier session of ours blocks it. */
  private Long activate() throws PocketfleetException {
    Long known = state.nodeId();
    if (known != null && stillKnown(known)) {
      return known;
    }
    try {
      return activateOnce();
    } catch (RefusedException error) {
      if (error.status() != PRECONDITION_FAILED) {
        throw error;
      }
    }
    // Either the server does not know this key, or a session of which we lost the number is active.
    RegisterNodeFleetRequest request =
        RegisterNodeFleetRequest.newBuilder()
            .setPublicKey(ByteString.copyFrom(key.publicPem()))
            .build();
    RegisterNodeFleetResponse answer;
    try {
      answer =
          patiently(
              "register-node", request, RegisterNodeFleetResponse.parser(), SMALL, new Traffic());
    } catch (RefusedException error) {
      if (error.code() == Connection.CODE_KEY_IN_USE) {
        return null;
      }
      throw error.code() == Connection.CODE_REGISTRATION_OFF ? notEnrolled(error) : error;
    }
    adopt(answer.getNodeId());
    return activateOnce();
  }

  /**
   * Takes up an earlier session: a heartbeat makes a node active that is not, and leaves no gap in
   * one that is.
   */
  private boolean stillKnown(long nodeId) throws PocketfleetException {
    try {
      Node known = Node.newBuilder().setNodeId(nodeId).build();
      return patiently(
              "send-node-heartbeat",
              heartbeat(known),
              SendNodeHeartbeatResponse.parser(),
              SMALL,
              new Traffic())
          .getSuccess();
    } catch (RefusedException error) {
      if (error.status() != UNAUTHORIZED) {
        throw error;
      }
      return false;
    }
  }

  private long activateOnce() throws PocketfleetException {
    ActivateNodeRequest request =
        ActivateNodeRequest.newBuilder()
            .setPublicKey(ByteString.copyFrom(key.publicPem()))
            .setHeartbeatInterval(heartbeatS)
            .build();
    return patiently("activate-node", request, ActivateNodeResponse.parser(), SMALL, new Traffic())
        .getNodeId();
  }

  /** Remembers the number the server gave us; what was begun under another one is void. */
  private void adopt(long nodeId) throws StateException {
    Long known = state.nodeId();
    if (known != null && known == nodeId) {
      return;
    }
    if (known != null) {
      if (state.task() != null) {
        dropped("task");
        state.forgetTask();
      }
      try (SavedReply reply = state.reply()) {
        if (reply != null) {
          dropped("reply");
        }
      }
      state.forgetReply();
    }
    state.saveNodeId(nodeId);
  }

  private static void dropped(String what) {
    Events.warn("event=dropped what=%s reason=server-is-a-new-one", what);
  }

  private RefusedException activeElsewhere() {
    return new RefusedException(
        connection.server() + " has another active client with this key; is one running elsewhere?",
        PRECONDITION_FAILED,
        Connection.CODE_KEY_IN_USE);
  }

  private NotEnrolledException notEnrolled(RefusedException cause) {
    return new NotEnrolledException(
        connection.server()
            + " does not know this client's key "
            + NodeKeys.fingerprint(key)
            + "; print it with `pocketfleet-client key --state "
            + state.path()
            + "` and enrol it there (a stock SuperLink: add --format ssh, then"
            + " `flwr supernode register KEY`)",
        cause.status(),
        cause.code());
  }

  /** Repeats a call while the server cannot be reached. */
  private <R> R patiently(
      String name, MessageLite request, Parser<R> answer, int limit, Traffic traffic)
      throws PocketfleetException {
    Backoff backoff = backoff();
    int oddAnswers = 0;
    double toldAt = 0;
    while (true) {
      double waitS;
      try {
        R got = connection.call(name, request, answer, limit, traffic);
        if (toldAt != 0) {
          Events.info("event=reachable-again after-s=%.1f", backoff.elapsedS());
        }
        return got;
      } catch (UnreachableException error) {
        waitS = backoff.failure();
        if (waitS == Backoff.GIVE_UP) {
          throw new UnreachableException(
              String.format("%s; gave up after %.0f s", error.getMessage(), backoff.elapsedS()),
              error);
        }
        // A single failure is mostly a kept connection that the server closed just as it was used
        // again.
        if (backoff.failures() == 2 || (toldAt != 0 && seconds() - toldAt > PROGRESS_EVERY_S)) {
          toldAt = seconds();
          Events.warn(
              "event=unreachable tries=%d reason=%s", backoff.failures(), error.getMessage());
          trouble.accept(error.getMessage());
        }
      } catch (RefusedException | MessageException error) {
        // The server's own trouble, such as a locked database, often passes; a wrong byte, too.
        oddAnswers++;
        boolean serversOwn =
            error instanceof MessageException
                || ((RefusedException) error).status() == SERVER_ERROR;
        if (!serversOwn || oddAnswers >= ODD_ANSWER_TRIES) {
          throw error;
        }
        waitS = ODD_ANSWER_WAIT_S * oddAnswers;
      }
      stop.sleep(waitS);
    }
  }

  private Backoff backoff() {
    return new Backoff(giveUpAfterS, Session::seconds);
  }

  private SendNodeHeartbeatRequest heartbeat(Node of) {
    return SendNodeHeartbeatRequest.newBuilder()
        .setNode(of)
        .setHeartbeatInterval(heartbeatS)
        .build();
  }

  private void beat() {
    double waitS = 0;
    while (true) {
      try {
        double share = ThreadLocalRandom.current().nextDouble(0.4, 0.6);
        heartStop.sleep(waitS > 0 ? waitS : heartbeatS * share);
      } catch (LeavingException leaving) {
        return;
      }
      try {
        askOnce("send-node-heartbeat", heartbeat(node), SendNodeHeartbeatResponse.parser());
        waitS = 0;
      } catch (PocketfleetException error) {
        waitS = HEARTBEAT_RETRY_S;
        Events.debug("event=heartbeat-failed reason=%s", error.getMessage());
      }
    }
  }

  private static double seconds() {
    return System.nanoTime() / 1e9;
  }
}
