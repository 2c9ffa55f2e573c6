package org.pocketfleet.desktop;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.pocketfleet.Events;

/**
 * SIGTERM and SIGINT. Java's own shutdown hooks cannot tell a first signal from a second one, nor
 * end with exit code 0; {@code sun.misc.Signal} can, and is in every Java from 8 on, but javac
 * answers any mention of it with a warning that cannot be turned off: hence by its name.
 */
final class Signals {
  private static final int KILLED_BY = 128;

  private Signals() {}

  /**
   * Calls {@code leave} with the signal's name at the first signal; a second one ends the process
   * at once.
   */
  static void handle(Consumer<String> leave) {
    AtomicBoolean came = new AtomicBoolean();
    for (String name : new String[] {"TERM", "INT"}) {
      try {
        Class<?> signals = Class.forName("sun.misc.Signal");
        Class<?> handlers = Class.forName("sun.misc.SignalHandler");
        Object signal = signals.getConstructor(String.class).newInstance(name);
        int number = (Integer) signals.getMethod("getNumber").invoke(signal);
        Object handler =
            Proxy.newProxyInstance(
                Signals.class.getClassLoader(),
                new Class<?>[] {handlers},
                (proxy, method, arguments) -> {
                  if (came.getAndSet(true)) {
                    Runtime.getRuntime().halt(KILLED_BY + number);
                  }
                  leave.accept("SIG" + name);
                  return null;
                });
        signals.getMethod("handle", signals, handlers).invoke(null, signal, handler);
      } catch (ReflectiveOperationException | IllegalArgumentException error) {
        Throwable cause = error instanceof InvocationTargetException ? error.getCause() : error;
        Events.warn("event=no-signals signal=SIG%s reason=%s", name, cause);
      }
    }
  }
}
