package org.pocketfleet.client;

import org.pocketfleet.PocketfleetException;
import org.pocketfleet.state.StateDirectory;
import org.pocketfleet.transport.ClientConfig;
import org.pocketfleet.transport.FleetLine;
import org.pocketfleet.transport.NodeKey;
import org.pocketfleet.transport.StopSignal;

/**
 * A client of one server, for as long as it is wanted.
 *
 * <p>What the handler throws, errors of the virtual machine included, is told to the server, and
 * the client goes on. When the client is to leave, the thread that the handler works on is
 * interrupted; a handler that throws then leaves its task in the state directory, and the next
 * start takes it up.
 */
public final class Client {
  private final ClientConfig config;
  private final NodeKey key;
  private final Handler handler;
  private final Gate gate;
  private final ClientListener listener;
  private final StopSignal stop = new StopSignal();
  private volatile Loop loop;

  /**
   * Makes a client; nothing happens before {@link #run}.
   *
   * @param key who it is
   * @param handler does the work
   * @param gate decides whether the device may work now
   * @param listener hears what happens
   */
  public Client(
      ClientConfig config, NodeKey key, Handler handler, Gate gate, ClientListener listener) {
    this.config = config;
    this.key = key;
    this.handler = handler;
    this.gate = gate;
    this.listener = listener;
  }

  /**
   * Works until {@link #stop}. To be called once.
   *
   * @throws PocketfleetException wrong settings, a state directory in use or broken, a server that
   *     refuses or stays away
   */
  public void run() throws PocketfleetException {
    try (StateDirectory state = new StateDirectory(config.stateDirectory())) {
      AdaptivePoll poll =
          new AdaptivePoll(
              config.pollShortestSeconds(),
              config.pollLongestSeconds(),
              () -> System.nanoTime() / 1e9);
      loop =
          new Loop(
              FleetLine.open(config, key, state, stop, listener::trouble, handler::phase),
              handler,
              gate,
              listener,
              poll,
              new RoundLog(config.stateDirectory()),
              stop);
      loop.run();
    }
  }

  /**
   * Makes {@link #run} return soon: after sending, if it is sending. Returns at once; may be called
   * from any thread, and more than once.
   */
  public void stop() {
    stop.set();
    Loop running = loop;
    if (running != null) {
      running.stop();
    }
  }
}
