// Neighbouring elements, `V` at a time: as one access where they are aligned to their common size.

template <class T, int V>
struct __align__(V * sizeof(T)) Together {
  T of[V];
};

template <int V, class T>
INSIDE void load(T (&values)[V], const T* at) {
  const Together<T, V> together = *reinterpret_cast<const Together<T, V>*>(at);
  EACH for (int e = 0; e < V; ++e) values[e] = together.of[e];
}

template <int V, class T>
INSIDE void load_apart(T (&values)[V], const T* at, int stride) {
  EACH for (int e = 0; e < V; ++e) values[e] = at[e * stride];
}

template <int V, class T>
INSIDE void store(T* at, const T (&values)[V]) {
  Together<T, V> together;
  EACH for (int e = 0; e < V; ++e) together.of[e] = values[e];
  *reinterpret_cast<Together<T, V>*>(at) = together;
}

template <int V, class T>
INSIDE void store_apart(T* at, int stride, const T (&values)[V]) {
  EACH for (int e = 0; e < V; ++e) at[e * stride] = values[e];
}

// A NaN comes through, as in numpy.
INSIDE float larger(float a, float b) { return a > b || a != a ? a : b; }
INSIDE float smaller(float a, float b) { return a < b || a != a ? a : b; }
INSIDE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
